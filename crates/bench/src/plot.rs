//! A report as a picture: a bar for each cell.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use teeline::{BackupError, Class};

use crate::report::{BenchReport, Cell};

const WIDTH: i32 = 900;
const BAR: i32 = 22;
const ROW: i32 = 44;
const LEFT: i32 = 330;
const RIGHT: i32 = 130;

/// An SVG of the rates of the cells, each with its least and its most. It names no font but the reader's own sans-serif.
///
/// # Errors
/// Where it can't be drawn.
pub fn plot(report: &BenchReport) -> Result<String, BackupError> {
    let mut svg = String::new();
    draw(report, &mut svg)
        .map_err(|message| BackupError::new(Class::Permanent, "draw", "the picture", message))?;
    Ok(svg)
}

fn draw(report: &BenchReport, svg: &mut String) -> Result<(), String> {
    let rows = i32::try_from(report.cells.len()).unwrap_or(i32::MAX / ROW - 2);
    let size = (WIDTH.unsigned_abs(), (ROW * (rows + 2)).unsigned_abs());
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let title = format!(
        "MB/s of {} ({} processors)",
        report.data.from, report.processors
    );
    area.draw(&Text::new(title, (10, 12), text(16)))
        .map_err(|error| error.to_string())?;
    let most = report
        .cells
        .iter()
        .map(|cell| cell.megabytes_per_second.max);
    let most = most.fold(1.0, f64::max);
    let x = |rate: f64| {
        // Within the picture.
        #[expect(clippy::cast_possible_truncation, reason = "at most WIDTH")]
        let length = (rate / most * f64::from(WIDTH - LEFT - RIGHT)) as i32;
        LEFT + length
    };
    for (row, cell) in (1..).zip(&report.cells) {
        let (top, rate) = (row * ROW, cell.megabytes_per_second);
        let middle = top + BAR / 2;
        let label = text(13).pos(Pos::new(HPos::Right, VPos::Center));
        let bar = [(LEFT, top), (x(rate.median), top + BAR)];
        let said = format!("{:.0}", rate.median);
        let behind = text(13).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name(cell), (LEFT - 8, middle), label))
            .and_then(|()| area.draw(&Rectangle::new(bar, RGBColor(70, 130, 180).filled())))
            .and_then(|()| {
                let ends = vec![(x(rate.min), middle), (x(rate.max), middle)];
                area.draw(&PathElement::new(ends, BLACK))
            })
            .and_then(|()| area.draw(&Text::new(said, (x(rate.max) + 8, middle), behind)))
            .map_err(|error| error.to_string())?;
    }
    area.present().map_err(|error| error.to_string())
}

fn name(cell: &Cell) -> String {
    let settings = &cell.settings;
    format!(
        "{}, {}K, {} workers, to {}",
        settings.compression,
        settings.block_bytes >> 10,
        settings.workers,
        settings.destinations.len()
    )
}
