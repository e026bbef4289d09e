"""A bar for each row of peers.sh: what was measured, as a part of what is to be reached."""

from xml.sax.saxutils import escape

BAR, GAP, LEFT, LONGEST, RIGHT, TOP = 14, 8, 400, 400, 190, 34
MOST = 2.0  # of what is to be reached: a longer bar is cut there


def chart(results, shown):
    """SVG of all results that have something to reach; `shown` gives a result's own figures as text."""
    bars = [result for result in results if result.reach is not None]
    height = TOP + len(bars) * (BAR + GAP) + 10
    width = LEFT + LONGEST + RIGHT
    limit = LEFT + LONGEST / MOST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{limit}" y="16" text-anchor="middle">to reach: a bar that ends before the line has reached it</text>',
    ]
    for number, result in enumerate(bars):
        part = result.reach / result.measure if result.least else result.measure / result.reach
        y = TOP + number * (BAR + GAP)
        colour = "#2a9d8f" if result.is_reached() else "#e76f51"
        measure, reach, _ = shown(result)
        long = LONGEST * min(part, MOST) / MOST
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(result.what)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + LONGEST + 8}" y="{y + 11}">{escape(f"{measure} ({reach})")}</text>',
        ]
    lines += [f'<line x1="{limit}" y1="{TOP - 10}" x2="{limit}" y2="{height - 6}" stroke="black"/>', "</svg>", ""]
    return "\n".join(lines)
