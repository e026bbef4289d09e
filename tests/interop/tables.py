"""Runs the SQL and the Python of a page as they stand there, in the working directory, and prints what they give as JSON.

usage: tables.py PAGE    prints {"duckdb": [{"types", "rows"} for each block], "pandas": {"types", "rows"}}
"""
import json
import re
import sys

import duckdb
import pandas

with open(sys.argv[1], encoding="utf-8") as file:
    page = file.read()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def answer(sql):
    query = sql.strip().rstrip(";")
    relation = duckdb.sql(query)
    rows = duckdb.sql(f"SELECT to_json(answer) FROM ({query}) AS answer").fetchall()
    return {"types": dict(zip(relation.columns, map(str, relation.types))), "rows": [json.loads(row) for (row,) in rows]}


def frame(name):
    names = {}
    for block in blocks("python"):
        exec(block, names)
    data = names[name]
    types = {column: pandas.api.types.infer_dtype(data[column], skipna=True) for column in data}
    return {"types": types, "rows": json.loads(data.to_json(orient="records", date_format="iso", double_precision=15))}


print(json.dumps({"duckdb": [answer(sql) for sql in blocks("sql")], "pandas": frame("orders")}))
