//! Which stage holds a backup up: the one that does the least waiting.

use crate::report::Stage;

/// In a sentence, of a backup that took `seconds`.
pub(crate) fn bottleneck(stages: &[Stage], seconds: f64) -> String {
    let mut shares: Vec<(f64, String)> = Vec::new();
    for stage in stages {
        match stage.name.as_str() {
            "read" => {
                let share = part(stage.waited_for_input_seconds, seconds);
                shares.push((
                    share,
                    format!("the source is waited for {} of the time", percent(share)),
                ));
                let share = part(stage.busy_seconds, seconds);
                let what = most(stage).unwrap_or("read");
                shares.push((
                    share,
                    format!("{what}: the reader, {} busy", percent(share)),
                ));
            }
            "encode" => {
                let share = part(stage.busy_seconds, seconds * stage.workers as f64);
                let what = most(stage).unwrap_or("encode");
                let workers = match stage.workers {
                    1 => "1 worker".to_owned(),
                    workers => format!("{workers} workers"),
                };
                shares.push((share, format!("{what}: {workers}, {} busy", percent(share))));
            }
            name => {
                let share = part(stage.busy_seconds, seconds);
                let what =
                    most(stage).map_or(String::new(), |what| format!(", most of it to {what}"));
                let name = name.strip_prefix("to ").unwrap_or(name);
                shares.push((share, format!("{name}: {} busy{what}", percent(share))));
            }
        }
    }
    shares.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut shares = shares.into_iter().map(|(_, words)| words);
    match (shares.next(), shares.next()) {
        (Some(first), Some(second)) => format!("{first}; then {second}"),
        (Some(first), None) => first,
        _ => "nothing was measured".to_owned(),
    }
}

/// What most of a stage's work is.
fn most(stage: &Stage) -> Option<&str> {
    let work = stage
        .work
        .iter()
        .max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    work.map(|work| work.what.as_str())
}

fn part(of: f64, whole: f64) -> f64 {
    if whole > 0.0 { of / whole } else { 0.0 }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Work;

    fn stage(name: &str, workers: usize, busy: f64, input: f64, work: &[(&str, f64)]) -> Stage {
        Stage {
            name: name.to_owned(),
            workers,
            megabytes_per_second: 0.0,
            cpu_seconds: None,
            busy_seconds: busy,
            waited_for_input_seconds: input,
            waited_for_output_seconds: 0.0,
            work: work
                .iter()
                .map(|(what, seconds)| Work {
                    what: (*what).to_owned(),
                    seconds: *seconds,
                })
                .collect(),
        }
    }

    #[test]
    fn it_is_the_one_that_waits_least() {
        let encode = |busy| {
            stage(
                "encode",
                2,
                busy,
                0.0,
                &[("validate", 0.1), ("compress", busy - 0.1)],
            )
        };
        let slow = stage("to far", 1, 9.5, 0.5, &[("write", 9.0), ("commit", 0.5)]);
        let fast = stage("to near", 1, 1.0, 9.0, &[("write", 1.0)]);
        let read = |input| stage("read", 1, 0.1, input, &[]);
        assert_eq!(
            bottleneck(&[read(0.1), encode(19.4), fast.clone()], 10.0),
            "compress: 2 workers, 97 % busy; then near: 10 % busy, most of it to write"
        );
        assert!(
            bottleneck(&[read(0.1), encode(4.0), slow, fast.clone()], 10.0)
                .starts_with("far: 95 % busy, most of it to write")
        );
        assert!(
            bottleneck(&[read(9.0), encode(1.0), fast.clone()], 10.0)
                .starts_with("the source is waited for 90 % of the time")
        );
        let cutting = stage("read", 1, 8.0, 1.0, &[("cut", 8.0)]);
        assert_eq!(
            bottleneck(&[cutting, encode(4.0), fast], 10.0),
            "cut: the reader, 80 % busy; then compress: 2 workers, 20 % busy"
        );
    }
}
