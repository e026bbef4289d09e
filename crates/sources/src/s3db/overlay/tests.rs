use serde_json::json;

use super::*;

fn catalogue(current: &str) -> Bytes {
    let version = json!({ "attributes": { "name": "string" } });
    let resource = json!({
        "currentVersion": current, "versions": { "v1": version, "v2": version },
        "schemaRegistry": { "nextIndex": 1, "mapping": { "name": 0 } },
    });
    json!({ "resources": { "users": resource } })
        .to_string()
        .into()
}

/// Lines of a catalogue, in two pieces.
fn lines_of(catalogue: &Bytes) -> String {
    let (size, middle) = (catalogue.len() as u64, catalogue.len() / 2);
    [
        (0, catalogue.slice(..middle)),
        (middle as u64, catalogue.slice(middle..)),
    ]
    .map(|(offset, bytes)| {
        let header = FrameHeader {
            key: CATALOGUE.to_owned(),
            offset,
            length: bytes.len() as u64,
            size,
            content_type: None,
            metadata: Default::default(),
        };
        let line = SettledLine::about(CATALOGUE).with_piece(&Frame { header, bytes });
        String::from_utf8(line.encode().unwrap()).unwrap()
    })
    .concat()
}

fn record(id: &str, name: &str) -> String {
    let line = format!("{{\"id\":\"{id}\",\"name\":\"{name}\"}}\n");
    let key = record_key("users", id);
    let line = SettledLine::record(&key, line.as_bytes()).unwrap().encode();
    String::from_utf8(line.unwrap()).unwrap()
}

#[test]
fn the_last_line_counts_by_the_catalogue_before_it() {
    let (old, new) = (catalogue("v1"), catalogue("v2"));
    let settled = [
        record("a", "first"),
        record("b", "before"),
        lines_of(&new),
        record("a", "last"),
    ]
    .concat();
    let mut overlay = Overlay::new(old.clone()).unwrap();
    overlay.read(settled.as_bytes()).unwrap();
    assert_eq!(*overlay.catalogue(), new);
    let overlay = Arc::new(overlay);
    let base = "{\"id\":\"a\",\"name\":\"base\"}\n{\"id\":\"c\",\"name\":\"base\"}\n";
    let standing = overlay.lines("users", base.into()).unwrap();
    let expected = "{\"id\":\"c\",\"name\":\"base\",\"_s3db\":{\"v\":\"v1\"}}\n";
    assert_eq!(standing, expected);
    let mut replay = overlay.replay();
    let newer = replay.read(settled.as_bytes()).unwrap();
    let expected = "{\"id\":\"b\",\"name\":\"before\",\"_s3db\":{\"v\":\"v1\"}}\n{\"id\":\"a\",\"name\":\"last\"}\n";
    assert_eq!(newer.lines["users"], expected);
    assert!(newer.frames.is_empty());
}

#[test]
fn what_is_wrong_is_an_error() {
    assert!(Overlay::new("[]".into()).is_err());
    let whole = lines_of(&catalogue("v2"));
    let (first, second) = whole.split_at(whole.find('\n').unwrap() + 1);
    let twice = [first, first].concat();
    let untrue = lines_of(&Bytes::from_static(b"{\"resources\":[]}"));
    let gone = "{\"key\":\"s3db.json\",\"gone\":true}\n";
    for lines in [second, twice.as_str(), untrue.as_str(), gone, "x\n"] {
        let mut overlay = Overlay::new(catalogue("v1")).unwrap();
        assert!(overlay.read(lines.as_bytes()).is_err(), "{lines}");
    }
    let mut overlay = Overlay::new(catalogue("v1")).unwrap();
    overlay.read(record("a", "new").as_bytes()).unwrap();
    for line in ["x\n", "{}\n", "{\"id\":1}\n"] {
        assert!(overlay.lines("users", line.into()).is_err(), "{line}");
    }
}

#[test]
fn attributes_in_another_order_are_other_definitions() {
    let of = |attributes: [&str; 2]| {
        let [first, second] = attributes.map(|name| format!("\"{name}\":\"string\""));
        let versions = format!("{{\"v1\":{{\"attributes\":{{{first},{second}}}}}}}");
        let users = format!("{{\"currentVersion\":\"v1\",\"versions\":{versions}}}");
        let catalogue = format!("{{\"resources\":{{\"users\":{users}}}}}");
        Definitions::parse(catalogue.into()).unwrap()
    };
    let (one, other) = (of(["a", "b"]), of(["b", "a"]));
    assert!(Definitions::agree(&one, &of(["a", "b"]), "users"));
    assert!(!Definitions::agree(&one, &other, "users"));
}
