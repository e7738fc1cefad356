//! Line charts over time as inline SVG, each with a title, a description and its data as a table. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::escape;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 30.0;
/// Rows of the table below.
const ROWS: usize = 120;

pub struct Series {
    pub name: String,
    /// Class of the stylesheet: `blue`, `green`, `limit`.
    pub class: &'static str,
    pub dashed: bool,
    /// A value holds until the next.
    pub steps: bool,
    pub dots: bool,
    pub values: Vec<(Timestamp, f64)>,
}

pub struct Chart<'a> {
    pub id: String,
    pub title: String,
    pub about: String,
    pub height: f64,
    /// Both ends of the time axis.
    pub span: (Timestamp, Timestamp),
    /// The top of the axis is at least this.
    pub least: f64,
    /// And at most, where values have an end.
    pub most: Option<f64>,
    pub series: Vec<Series>,
    /// Moments that are marked: class, text.
    pub marks: Vec<(Timestamp, &'static str, String)>,
    pub show: &'a dyn Fn(f64) -> String,
}

/// `1:05` since the beginning; `1:02:03` from an hour on.
pub fn since(begun: Timestamp, at: Timestamp) -> String {
    let seconds = at.duration_since(begun).as_millis().max(0) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A step of 1, 2 or 5 times a power of ten, so that `range` has about `parts`.
fn nice(range: f64, parts: f64) -> f64 {
    let rough = (range / parts).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    let factor = rough / power;
    let factor = if factor <= 1.0 {
        1.0
    } else if factor <= 2.0 {
        2.0
    } else if factor <= 5.0 {
        5.0
    } else {
        10.0
    };
    factor * power
}

fn seconds_step(range: f64) -> f64 {
    const STEPS: [f64; 14] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0];
    STEPS.into_iter().find(|step| range / step <= 9.0).unwrap_or_else(|| nice(range, 8.0))
}

impl Chart<'_> {
    pub fn html(&self) -> String {
        let mut out =
            format!("<figure><figcaption><h3>{}</h3>{}</figcaption>\n", escape(&self.title), self.legend());
        out += &self.svg();
        out += &self.table();
        out + "</figure>\n"
    }

    fn legend(&self) -> String {
        let mut out = String::from("<p class=\"legend\">");
        for series in &self.series {
            let dash = if series.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
            let _ = write!(
                out,
                "<span><svg width=\"26\" height=\"10\" aria-hidden=\"true\"><line class=\"{}\" x1=\"1\" y1=\"5\" x2=\"25\" y2=\"5\"{dash}/></svg>{}</span> ",
                series.class,
                escape(&series.name)
            );
        }
        out + "</p>"
    }

    /// The top of the axis and the distance of its lines.
    fn scale(&self) -> (f64, f64) {
        let values = self.series.iter().flat_map(|s| s.values.iter().map(|v| v.1));
        let top = values.filter(|v| v.is_finite()).fold(self.least, f64::max);
        let top = if top > 0.0 { top } else { 1.0 };
        let step = nice(top, 4.0);
        let top = (top / step).ceil() * step;
        (self.most.map_or(top, |most| top.min(most)), step)
    }

    fn x(&self, at: Timestamp) -> f64 {
        let whole = self.span.1.duration_since(self.span.0).as_secs_f64().max(0.001);
        let part = at.duration_since(self.span.0).as_secs_f64().clamp(0.0, whole);
        LEFT + (WIDTH - LEFT - RIGHT) * part / whole
    }

    fn y(&self, value: f64, top: f64) -> f64 {
        let room = self.height - TOP - BOTTOM;
        TOP + room * (1.0 - (value / top).clamp(0.0, 1.0))
    }

    fn svg(&self) -> String {
        let (top, step) = self.scale();
        let floor = self.height - BOTTOM;
        let mut out = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n",
            self.height,
            escape(&self.title),
            escape(&self.about),
            id = self.id,
        );
        let mut line = 0.0;
        while line <= top + step * 0.01 {
            let y = self.y(line, top);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escape(&(self.show)(line))
            );
            line += step;
        }
        let whole = self.span.1.duration_since(self.span.0).as_secs_f64().max(0.001);
        let step = seconds_step(whole);
        let mut second = 0.0;
        while second <= whole {
            let at = self.span.0 + jiff::SignedDuration::from_millis((second * 1000.0) as i64);
            let x = self.x(at);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{floor}\" y2=\"{:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                floor + 5.0,
                floor + 19.0,
                since(self.span.0, at)
            );
            second += step;
        }
        self.marked(&mut out, floor);
        // The first series lies above the others.
        for series in self.series.iter().rev() {
            self.line(&mut out, series, top);
        }
        out + "</svg>\n"
    }

    fn marked(&self, out: &mut String, floor: f64) {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (at, class, text) in &self.marks {
            let x = self.x(*at);
            let _ = writeln!(
                out,
                "<line class=\"mark {class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{floor}\"/>"
            );
            // A text that would lie on another is left to the timeline.
            let width = text.chars().count() as f64 * 6.6 + 8.0;
            let (from, anchor) = if x + width > WIDTH - RIGHT { (x - width, "end") } else { (x, "start") };
            if taken.iter().all(|(a, b)| from + width < *a || from > *b) {
                taken.push((from, from + width));
                let at = if anchor == "end" { x - 4.0 } else { x + 4.0 };
                let _ = writeln!(
                    out,
                    "<text class=\"mark {class}\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                    TOP - 8.0,
                    escape(text)
                );
            }
        }
    }

    fn line(&self, out: &mut String, series: &Series, top: f64) {
        let mut path = String::new();
        let mut last: Option<f64> = None;
        for (at, value) in series.values.iter().filter(|v| v.1.is_finite()) {
            let (x, y) = (self.x(*at), self.y(*value, top));
            match last {
                None => {
                    let _ = write!(path, "M{x:.1} {y:.1}");
                }
                Some(before) if series.steps => {
                    let _ = write!(path, "L{x:.1} {before:.1}L{x:.1} {y:.1}");
                }
                Some(_) => {
                    let _ = write!(path, "L{x:.1} {y:.1}");
                }
            }
            last = Some(y);
        }
        if let Some(y) = last.filter(|_| series.steps) {
            let _ = write!(path, "L{:.1} {y:.1}", self.x(self.span.1));
        }
        let dash = if series.dashed { " stroke-dasharray=\"7 5\"" } else { "" };
        let _ = writeln!(out, "<path class=\"line {}\" d=\"{path}\"{dash}/>", series.class);
        if series.dots && series.values.len() <= 200 {
            for (at, value) in series.values.iter().filter(|v| v.1.is_finite()) {
                let (x, y) = (self.x(*at), self.y(*value, top));
                let _ = writeln!(
                    out,
                    "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{} at {}: {}</title></circle>",
                    series.class,
                    escape(&series.name),
                    since(self.span.0, *at),
                    escape(&(self.show)(*value))
                );
            }
        }
    }

    fn table(&self) -> String {
        let mut times: Vec<Timestamp> =
            self.series.iter().flat_map(|s| s.values.iter().map(|v| v.0)).collect();
        times.sort();
        times.dedup();
        let mut out = String::from(
            "<details><summary>The figures</summary><table><thead><tr><th scope=\"col\">After</th>",
        );
        for series in &self.series {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escape(&series.name));
        }
        out += "</tr></thead><tbody>\n";
        let more = times.len().saturating_sub(ROWS);
        for at in times.into_iter().take(ROWS) {
            let _ = write!(out, "<tr><th scope=\"row\">{}</th>", since(self.span.0, at));
            for series in &self.series {
                let value =
                    series.values.iter().find(|v| v.0 == at && v.1.is_finite()).map(|v| (self.show)(v.1));
                let _ = write!(out, "<td>{}</td>", escape(&value.unwrap_or_default()));
            }
            out += "</tr>\n";
        }
        if more > 0 {
            let _ = write!(out, "<tr><td colspan=\"{}\">and {more} more</td></tr>", self.series.len() + 1);
        }
        out + "</tbody></table></details>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round() {
        for (range, parts, step) in [(100.0, 4.0, 50.0), (0.05, 4.0, 0.02), (7.0, 4.0, 2.0), (0.9, 4.0, 0.5)]
        {
            assert!((nice(range, parts) - step).abs() < step * 1e-9, "{range}: {}", nice(range, parts));
        }
        assert_eq!([8.0, 100.0, 500.0, 4000.0].map(seconds_step), [1.0, 15.0, 60.0, 600.0]);
    }

    #[test]
    fn a_chart_of_nothing_is_still_one() {
        let at = Timestamp::UNIX_EPOCH;
        let show = |v: f64| format!("{v}");
        let chart = Chart {
            id: "a".into(),
            title: "<b>".into(),
            about: String::new(),
            height: 200.0,
            span: (at, at),
            least: 0.0,
            most: None,
            series: vec![Series {
                name: "x".into(),
                class: "blue",
                dashed: false,
                steps: true,
                dots: true,
                values: vec![(at, f64::NAN)],
            }],
            marks: vec![(at, "bad", "now".into())],
            show: &show,
        };
        let html = chart.html();
        assert!(html.contains("&lt;b&gt;") && !html.contains("NaN"), "{html}");
    }
}
