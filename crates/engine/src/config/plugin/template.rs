//! Paths with variables in them: what stands before the first of them is where backups are looked for, and the rest is where
//! in it each one goes.

use teeline_core::PathTemplate;

/// The fixed part of a path, and the template of what follows. A component with a variable in it is of the template as a
/// whole.
pub(super) fn split(path: &str) -> Result<(String, PathTemplate), String> {
    let Some(variable) = path.find('{') else {
        return Ok((path.to_owned(), PathTemplate::default()));
    };
    let fixed = path[..variable]
        .rfind('/')
        .map_or("", |slash| &path[..=slash]);
    let template =
        PathTemplate::new(&path[fixed.len()..]).map_err(|error| error.message().to_owned())?;
    Ok((fixed.to_owned(), template))
}
