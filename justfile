# What CI runs, one step at a time. `just --list` shows the recipes.

# Formatting, lints and documentation
check: && doc
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Unit, property, conformance and end-to-end tests
test:
    cargo test --workspace

# Against the real s3db.js and a real S3 server (needs Node 20+, Python 3 and curl)
interop *args:
    tests/interop/run.sh {{args}}

# Backups and restores of a database against bare GETs and PUTs, and against s3db.js (needs the same, and Linux)
bench *args:
    benches/s3db.sh {{args}}

# Beside what one would run instead (needs the same; installs pigz, restic, rclone and others where it may)
peers *args:
    benches/peers.sh {{args}}

# Licences, banned crates and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny --locked check licenses bans sources

# Known vulnerabilities of the dependencies, by a database that is fetched now (needs cargo-deny and the network)
advisories:
    cargo deny --locked check advisories

# The API documentation, with every warning an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
