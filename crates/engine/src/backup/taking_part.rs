//! Which destinations a backup is for: those that take only some resources have no part in one that has others.

use teeline_core::BackupError;

use crate::destination::DestinationSpec;
use crate::request::BackupRequest;

/// Leaves the destinations that take all that is asked for, and gives the names of the others. What names no resources is of all of
/// them; or, where no destination takes all, of those that each of them takes, as far as there are such. What a chain is made of is
/// of what that has.
///
/// # Errors
/// Where no destination takes all of it.
pub(super) fn narrow(request: &mut BackupRequest) -> Result<Vec<String>, BackupError> {
    let is_of_a_chain = request.as_of.is_some();
    if let Some(of_each) = of_each(&request.destinations)
        && request.included().is_empty()
        && !is_of_a_chain
    {
        request.include = of_each;
        request.includes_what_is_there = true;
    }
    let asked_for = request.included();
    let takes = |destination: &DestinationSpec| destination.takes_all_of(&asked_for);
    if !request.destinations.is_empty() && !request.destinations.iter().any(takes) {
        return Err(taken_by_none(request, &asked_for));
    }
    let (taking, others) = std::mem::take(&mut request.destinations)
        .into_iter()
        .partition(takes);
    request.destinations = taking;
    let others: Vec<DestinationSpec> = others;
    Ok(others.into_iter().map(|other| other.name).collect())
}

/// What every destination takes, where that is the same for all of them and not everything.
fn of_each(destinations: &[DestinationSpec]) -> Option<Vec<String>> {
    let mut taken = destinations.iter().map(|spec| spec.resources.as_ref());
    let first = taken.next()??;
    taken
        .all(|other| other == Some(first))
        .then(|| first.patterns().to_vec())
}

/// An error about the number of destinations, which says who isn't among them.
pub(super) fn told(error: BackupError, left_out: &[String]) -> BackupError {
    match left_out {
        [] => error,
        names => error.suggest(format!(
            "not counted, since they don't take all of what is asked for: {}",
            names.join(", ")
        )),
    }
}

fn taken_by_none(request: &BackupRequest, asked_for: &[String]) -> BackupError {
    let each = request.destinations.iter().filter_map(|spec| {
        let taken = spec.resources.as_ref()?;
        Some(format!("{} takes {taken}", spec.name))
    });
    let each = Vec::from_iter(each).join("; ");
    let what = match asked_for {
        [] => "everything".to_owned(),
        some => some.join(", "),
    };
    let message = format!("no destination takes all of what is asked for, which is {what}: {each}");
    BackupError::usage("resources", message).suggest(
        "a backup is the same wherever it is: make one for each destination, with the resources that it takes (--resources)",
    )
}
