use std::path::{Path, PathBuf};

use teeline_core::Class;

use super::*;

/// No message may hold any of it.
const CANARY: &str = "CANARY";

fn s3(text: &str) -> (String, S3Place) {
    let destination = DestinationSpec::parse(text).unwrap();
    match destination.place {
        Place::S3(place) => (destination.name, place),
        other => panic!("{text} is no bucket: {other:?}"),
    }
}

fn folder_of(text: &str) -> (String, PathBuf) {
    let destination = DestinationSpec::parse(text).unwrap();
    match destination.place {
        Place::Folder(path) => (destination.name, path),
        other => panic!("{text} is no folder: {other:?}"),
    }
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = DestinationSpec::parse(text).unwrap_err();
    let shown = format!("{error} {error:?} {:?}", error.suggestion());
    assert_eq!(error.class(), Class::Usage, "{text}");
    assert!(shown.contains(expected), "{text}: {shown}");
    assert!(
        shown.contains("s3://"),
        "{text}: names the accepted forms: {shown}"
    );
    assert!(!shown.contains(CANARY), "{text}: {shown}");
}

#[test]
fn paths_are_folders() {
    for (text, name, path) in [
        ("backups", "backups", "backups"),
        ("./data/My Backups/", "my-backups", "./data/My Backups/"),
        ("/mnt/2024", "folder-2024", "/mnt/2024"),
        ("/", "folder", "/"),
        (".", "folder", "."),
        ("../..", "folder", "../.."),
        ("/mnt/données", "donn-es", "/mnt/données"),
        ("file:///mnt/a%20b", "a-b", "/mnt/a b"),
        ("FILE://localhost/mnt/x", "x", "/mnt/x"),
        ("local=backups", "local", "backups"),
        ("local=file:///mnt/x", "local", "/mnt/x"),
        ("a=b=c", "a", "b=c"),
        ("./a=b", "a-b", "./a=b"),
        ("A=b", "a-b", "A=b"),
        ("c:/x", "x", "c:/x"),
    ] {
        assert_eq!(
            folder_of(text),
            (name.to_owned(), PathBuf::from(path)),
            "{text}"
        );
    }
}

#[test]
fn a_bucket_is_named_with_all_its_settings() {
    let (name, place) = s3(
        "primary=s3://bucket/a/b/?region=eu-west-1&endpoint=http://LOCALHOST:9000/\
                            &path_style=true&profile=dev",
    );
    assert_eq!(name, "primary");
    let expected = S3Place {
        bucket: "bucket".into(),
        prefix: "a/b".into(),
        region: Some("eu-west-1".into()),
        endpoint: Some("http://localhost:9000".into()),
        profile: Some("dev".into()),
        path_style: Some(true),
        ..S3Place::default()
    };
    assert_eq!(place, expected);
    assert_eq!(place.location(), "http://localhost:9000/bucket/a/b");
    assert_eq!(s3("s3://my.bucket").0, "my-bucket");
    assert_eq!(s3("S3://bucket/").1.location(), "s3://bucket");
    let (name, place) =
        s3("https://KEY:SECRET@s3.example.com/bucket/pre%40fix%3F?region=us-east-1");
    assert_eq!(name, "bucket");
    assert_eq!(place.endpoint.as_deref(), Some("https://s3.example.com"));
    assert_eq!(place.prefix, "pre@fix?");
    assert_eq!(
        s3("http://[::1]:9000/b/c").1.location(),
        "http://[::1]:9000/b/c"
    );
}

#[test]
fn secrets_are_read_raw_and_encoded() {
    for (text, key_id, secret) in [
        ("s3://AKIA:ab/cd+ef==@bucket/p", "AKIA", "ab/cd+ef=="),
        (
            "s3://AKIA:ab%2Fcd%2Bef%3D%3D@bucket/p",
            "AKIA",
            "ab/cd+ef==",
        ),
        ("s3://AKIA:9000/x@bucket/p", "AKIA", "9000/x"),
        ("s3://AKIA:a:b@bucket/p", "AKIA", "a:b"),
        ("x=http://AKIA:/+=@host:9000/bucket/p", "AKIA", "/+="),
        (
            "http://AKIA:p%40ss%3fw@host:9000/bucket/p",
            "AKIA",
            "p@ss?w",
        ),
        ("http://AKIA:9000%2Fx@host:9000/bucket/p", "AKIA", "9000/x"),
    ] {
        let (_, place) = s3(text);
        assert_eq!(place.access_key_id.as_deref(), Some(key_id), "{text}");
        let found = place.secret_access_key.as_ref().map(Secret::expose);
        assert_eq!(found, Some(secret), "{text}");
        assert_eq!(
            (place.bucket.as_str(), place.prefix.as_str()),
            ("bucket", "p"),
            "{text}"
        );
    }
    let (_, place) = s3("s3://K:S@bucket?session_token=a+b/c==");
    assert_eq!(
        place.session_token.as_ref().map(Secret::expose),
        Some("a+b/c==")
    );
}

#[test]
fn what_is_no_destination_is_refused_without_quoting_it() {
    for (text, expected) in [
        ("", "no path"),
        ("local=", "destination \"local\": no path"),
        ("-", "no path"),
        ("~/backups", "'~'"),
        ("a\nb", "control"),
        ("ftp://user:CANARY@host/x", "scheme ftp://"),
        ("gs://bucket", "scheme gs://"),
        ("s3:bucket/CANARY", "without '://'"),
        ("KEY:CANARY@bucket/prefix", "without '://'"),
        ("file://host/CANARY", "file:///path"),
        ("file:///a?b", "%3F"),
        ("s3://", "no bucket"),
        ("s3:///prefix", "no bucket"),
        ("/CANARY/{date}", "variable such as {date}"),
        ("s3://bucket/CANARY/{backupId}/", "variable such as {date}"),
        ("s3://K:CANARY@./prefix", "the bucket's name"),
        ("http://host:9000/./prefix", "the bucket's name"),
        ("s3://KEY:CANARY", "the bucket's name"),
        ("s3://KEY/CANARY@bucket", "isn't KEY:SECRET"),
        ("s3://KEY:@bucket", "isn't KEY:SECRET"),
        ("s3://:CANARY@bucket", "isn't KEY:SECRET"),
        ("s3://KEY:CAN@ARY:CANARY@bucket", "more than one '@'"),
        ("s3://KEY:CAN?CANARY@bucket", "%3F"),
        ("s3://KEY:CANARY%@bucket", "hexadecimal"),
        ("s3://KEY:CANARY%ff@bucket", "UTF-8"),
        ("s3://KEY:CANARY%0A@bucket", "control characters"),
        ("s3://bucket/a//CANARY", "the prefix"),
        ("s3://bucket/../CANARY", "the prefix"),
        ("s3://bucket/pre@fix", "isn't KEY:SECRET"),
        ("s3://bucket?regoin=CANARY", "did you mean region?"),
        ("s3://bucket?CANARY", "unknown parameter"),
        ("s3://bucket?region=", "region is empty"),
        ("s3://bucket?region=a&region=b", "given twice"),
        ("s3://bucket?path_style=CANARY", "neither true nor false"),
        ("s3://bucket?endpoint=CANARY", "http://host:port"),
        ("s3://bucket?endpoint=ftp://CANARY", "http://host:port"),
        ("s3://bucket?endpoint=http://u:CANARY%40h", "credentials"),
        (
            "s3://bucket?session_token=CANARY",
            "without an access key id",
        ),
        (
            "s3://K:CANARY@bucket?profile=x",
            "both an access key and a profile",
        ),
        ("http://KEY:CANARY/bucket", "http://host:port"),
        (
            "http://KEY:9000/CANARY@host/bucket",
            "either KEY:SECRET or host:port",
        ),
        ("http://host:9000", "no bucket"),
        ("http://host:9000/b?endpoint=http://x", "s3:// only"),
    ] {
        refused(text, expected);
    }
}

#[test]
fn secrets_are_never_shown() {
    let text = "s3://KEY:CANARY@bucket/p?session_token=CANARY";
    let destination = DestinationSpec::parse(text).unwrap();
    assert!(destination.has_inline_secret());
    let shown = format!("{destination} {destination:?} {:#?}", destination.place);
    assert!(!shown.contains(CANARY), "{shown}");
    assert_eq!(
        format!("{} {:?}", Secret::new(CANARY), Secret::new(CANARY)),
        "*** ***"
    );
    for text in ["folder", "s3://bucket?profile=dev"] {
        assert!(!DestinationSpec::parse(text).unwrap().has_inline_secret());
    }
}

#[test]
fn chosen_names_are_checked() {
    let place = Place::Folder("x".into());
    assert_eq!(
        DestinationSpec::new("primary-eu_2", place.clone())
            .unwrap()
            .name,
        "primary-eu_2"
    );
    for name in ["", "Local", "1st", "-x", "a b", "é", &"a".repeat(64)] {
        assert!(DestinationSpec::new(name, place.clone()).is_err(), "{name}");
    }
}

fn parsed(texts: &[&str]) -> Vec<DestinationSpec> {
    let parse = |text: &&str| DestinationSpec::parse(text).unwrap();
    texts.iter().map(parse).collect()
}

fn named(texts: &[&str]) -> Result<Vec<String>, BackupError> {
    let mut destinations = parsed(texts);
    unique_names(&mut destinations)?;
    Ok(destinations.into_iter().map(|d| d.name).collect())
}

#[test]
fn derived_names_that_clash_depend_on_the_place_alone() {
    assert_eq!(named(&["/a/x", "s3://y"]).unwrap(), ["x", "y"]);
    let names = named(&["/a/x", "/b/x", "s3://x/p", "/c/y"]).unwrap();
    assert_eq!(names[3], "y");
    assert!(
        names[..3]
            .iter()
            .all(|name| is_name(name) && name.starts_with("x-")),
        "{names:?}"
    );
    let mut other_order = named(&["s3://x/p", "/c/y", "/b/x", "/a/x"]).unwrap();
    other_order.reverse();
    assert_eq!(names[..2], other_order[..2]);
    assert_eq!(names[2], other_order[3]);

    let names = named(&["x=/a/1", "/b/x"]).unwrap();
    assert_eq!(names[0], "x", "a chosen name is kept");
    assert!(names[1].starts_with("x-"), "{names:?}");
}

#[test]
fn the_same_name_or_place_twice_is_refused() {
    let error = named(&["x=/a/1", "x=/b/2"]).unwrap_err().to_string();
    for part in ["x (/a/1)", "x (/b/2)", "same name"] {
        assert!(error.contains(part), "{error}");
    }
    let error = named(&["x=/a/1", "s3://b", "y=/a/./z/../1/"])
        .unwrap_err()
        .to_string();
    for part in ["x (/a/1)", "y (/a/./z/../1/)", "same location"] {
        assert!(error.contains(part), "{error}");
    }
    for (first, second) in [
        ("s3://b/p", "s3://K:CANARY@b/p/?region=eu-west-1"),
        ("http://HOST:80/b", "s3://b?endpoint=http://host"),
    ] {
        let error = named(&[first, second]).unwrap_err().to_string();
        assert!(
            error.contains("same location") && !error.contains(CANARY),
            "{error}"
        );
    }
    for (first, second) in [
        ("s3://b/p", "s3://b/q"),
        ("s3://b/p", "s3://c/p"),
        ("http://host:9000/b", "http://host:9001/b"),
        ("s3://b", "http://host/b"),
    ] {
        assert!(named(&[first, second]).is_ok(), "{first} {second}");
    }
}

#[test]
fn a_destination_inside_another_is_refused_in_any_order() {
    for (outer, inner) in [
        ("/a/x", "/a/x/y"),
        ("/a", "/b/../a/x/y/z"),
        ("/", "/a"),
        ("s3://b", "s3://K:CANARY@b/p"),
        ("s3://b/p", "s3://b/p/q/r"),
        ("http://host/b/p", "s3://b/p/q?endpoint=http://host"),
    ] {
        for texts in [[outer, inner], [inner, outer]] {
            let error = named(&texts).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(") is inside ") && !message.contains(CANARY),
                "{message}"
            );
            let (found, _) = message.split_once(" is inside ").unwrap();
            let location = parsed(&[inner])[0].place.location();
            assert!(found.ends_with(&format!("({location})")), "{message}");
        }
    }
    for (first, second) in [
        ("/a/x", "/a/xy"),
        ("s3://b/p", "s3://b/pq"),
        ("s3://b", "s3://bb"),
        ("s3://b", "http://host/b/p"),
    ] {
        assert!(named(&[first, second]).is_ok(), "{first} {second}");
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_the_same_location() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", root.path().join("link")).unwrap();
    let place = |path: &str| Place::Folder(root.path().join(path));
    assert!(place("real").is_same_location(&place("link")));
    assert!(place("real/new/x").is_same_location(&place("link/new/x")));
    assert!(!place("real/new").is_same_location(&place("link/other")));
    let relative = Place::Folder(Path::new("src").to_owned());
    let absolute = Place::Folder(std::env::current_dir().unwrap().join("src"));
    assert!(relative.is_same_location(&absolute));
}

#[test]
fn any_secret_of_aws_can_be_written() {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+=";
    for start in 0..alphabet.len() {
        let secret = format!("{}{}", &alphabet[start..], &alphabet[..start]);
        let encoded: String = secret.bytes().map(|b| format!("%{b:02x}")).collect();
        for text in [
            format!("s3://KEY:{secret}@bucket/prefix"),
            format!("http://KEY:{encoded}@host:9000/bucket/prefix"),
        ] {
            let (_, place) = s3(&text);
            let found = place.secret_access_key.as_ref().map(Secret::expose);
            assert_eq!(found, Some(secret.as_str()), "{text}");
        }
    }
}

#[test]
fn mistyped_destinations_are_read_or_refused_without_a_panic() {
    for text in [
        "x=s3://KEY:CANARY@bucket/prefix?region=a&path_style=true",
        "http://KEY:CANARY@[::1]:9000/bucket/pre%20fix?session_token=CANARY",
        "file:///mnt/a%20b",
    ] {
        for at in 0..text.len() {
            for insert in [
                "", "%", "@", ":", "/", "?", "&", "=", "#", "é", "\n", "//", "..",
            ] {
                for keep in [at, at + 1] {
                    let mistyped = format!("{}{insert}{}", &text[..at], &text[keep..]);
                    match DestinationSpec::parse(&mistyped) {
                        Ok(destination) => assert!(is_name(&destination.name), "{mistyped}"),
                        Err(error) => assert!(!format!("{error:?}").contains(CANARY), "{error}"),
                    }
                }
            }
        }
    }
}
