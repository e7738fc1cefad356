//! The live region: a block of lines redrawn in place below all other output. It is drawn anew when the terminal's size
//! changes and once a second for its clocks; nothing is written while the picture stays the same.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Paint;

/// Two pictures are at least so far apart.
const CALM: Duration = Duration::from_millis(60);
const TICK: Duration = Duration::from_millis(100);
const CLOCK: Duration = Duration::from_secs(1);

/// What there is to draw on.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    pub paint: Paint,
    /// The most lines.
    pub rows: usize,
}

/// Draws for a canvas, so much time after it was handed over.
pub type Picture = Box<dyn Fn(&Canvas, Duration) -> String + Send>;

/// The terminal: its size in rows and columns, and where to write. A trait of two for the tests.
pub(super) trait Terminal: Send {
    fn size(&self) -> (usize, usize);
    fn write(&mut self, text: &str);
}

pub(super) struct Stderr;

impl Terminal for Stderr {
    fn size(&self) -> (usize, usize) {
        let (rows, columns) = console::Term::stderr().size();
        (usize::from(rows), usize::from(columns))
    }
    fn write(&mut self, text: &str) {
        // A terminal that is gone cannot be told so.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

pub(super) struct Region {
    terminal: Box<dyn Terminal>,
    color: bool,
    picture: Option<(Picture, Instant)>,
    /// Widths of the lines that stand there, and for which size they were drawn.
    drawn: Vec<usize>,
    size: (usize, usize),
    text: String,
    at: Option<Instant>,
    stale: bool,
}

impl Region {
    pub(super) fn new(terminal: Box<dyn Terminal>, color: bool) -> Self {
        Region {
            terminal,
            color,
            picture: None,
            drawn: Vec::new(),
            size: (0, 0),
            text: String::new(),
            at: None,
            stale: false,
        }
    }

    /// Rows that the lines take now: a terminal that became narrower has wrapped them.
    fn height(&self) -> usize {
        let (_, columns) = self.terminal.size();
        self.drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum()
    }

    fn up(&self) -> String {
        match self.height() {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\r"),
        }
    }

    /// Takes the picture away, for other output.
    fn erase(&mut self) {
        if !self.drawn.is_empty() {
            let text = self.up() + "\x1b[J";
            self.terminal.write(&text);
            self.drawn.clear();
            self.text.clear();
        }
    }

    fn draw(&mut self) {
        let Some((picture, since)) = &self.picture else { return };
        let (rows, columns) = self.terminal.size();
        // The last column stays free: a full line would wrap on some terminals.
        let paint = Paint { color: self.color, width: columns.saturating_sub(1).clamp(10, 240) };
        let canvas = Canvas { paint, rows: rows.saturating_sub(1).max(1) };
        let text = picture(&canvas, since.elapsed());
        self.at = Some(Instant::now());
        self.stale = false;
        let same = self.text == text && self.size == (rows, columns);
        if same {
            return;
        }
        let lines: Vec<String> =
            text.trim_end_matches('\n').lines().take(canvas.rows).map(|l| paint.fit(l)).collect();
        let mut out = String::from("\x1b[?2026h") + &self.up();
        for line in &lines {
            out += line;
            out += "\x1b[K\n";
        }
        out += "\x1b[J\x1b[?2026l";
        self.terminal.write(&out);
        self.drawn = lines.iter().map(|l| console::measure_text_width(l)).collect();
        (self.text, self.size) = (text, (rows, columns));
    }

    fn show(&mut self, picture: Picture) {
        self.picture = Some((picture, Instant::now()));
        self.stale = true;
        if self.at.is_none_or(|at| at.elapsed() >= CALM) {
            self.draw();
        }
    }

    fn tick(&mut self) {
        let old = self.at.is_some_and(|at| at.elapsed() >= CLOCK);
        if self.stale || old || self.terminal.size() != self.size {
            self.draw();
        }
    }

    /// Writes what `write` writes above the picture.
    pub(super) fn above(&mut self, write: impl FnOnce()) {
        self.erase();
        write();
        if self.picture.is_some() {
            self.draw();
        }
    }
}

pub(super) fn lock(region: &Mutex<Region>) -> MutexGuard<'_, Region> {
    region.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to draw in the region.
pub struct Live {
    region: Arc<Mutex<Region>>,
    /// Gone, the clock stops.
    alive: Option<Arc<()>>,
}

impl Live {
    pub(super) fn new(region: Arc<Mutex<Region>>) -> Self {
        let alive = Arc::new(());
        let (watch, drawn) = (Arc::downgrade(&alive), region.clone());
        let clock = std::thread::Builder::new().name("live".into()).spawn(move || run(&watch, &drawn));
        // Without a clock it is drawn when something happens, and only then.
        drop(clock);
        Live { region, alive: Some(alive) }
    }

    pub fn show(&self, picture: Picture) {
        lock(&self.region).show(picture);
    }

    /// Leaves the last picture on the screen.
    pub fn keep(mut self) {
        self.alive = None;
        let mut region = lock(&self.region);
        region.draw();
        region.picture = None;
        region.drawn.clear();
        region.text.clear();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.alive.take().is_some() {
            let mut region = lock(&self.region);
            region.erase();
            region.picture = None;
        }
    }
}

fn run(alive: &Weak<()>, region: &Mutex<Region>) {
    loop {
        std::thread::sleep(TICK);
        if alive.strong_count() == 0 {
            return;
        }
        lock(region).tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Clone, Default)]
    struct Fake {
        columns: Arc<AtomicUsize>,
        written: Arc<Mutex<String>>,
    }

    impl Terminal for Fake {
        fn size(&self) -> (usize, usize) {
            (5, self.columns.load(Ordering::Relaxed))
        }
        fn write(&mut self, text: &str) {
            self.written.lock().unwrap().push_str(text);
        }
    }

    fn picture(text: &'static str) -> Picture {
        Box::new(move |_, _| text.to_owned())
    }

    fn region(columns: usize) -> (Fake, Region) {
        let fake = Fake::default();
        fake.columns.store(columns, Ordering::Relaxed);
        (fake.clone(), Region::new(Box::new(fake), false))
    }

    fn taken(fake: &Fake) -> String {
        std::mem::take(&mut *fake.written.lock().unwrap())
    }

    #[test]
    fn the_same_picture_is_written_once() {
        let (fake, mut region) = region(80);
        region.show(picture("one\ntwo"));
        assert_eq!(taken(&fake), "\x1b[?2026hone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[?2026l");
        region.stale = true;
        region.tick();
        assert_eq!(taken(&fake), "");
        region.picture = Some((picture("three"), Instant::now()));
        region.draw();
        assert_eq!(taken(&fake), "\x1b[?2026h\x1b[2A\rthree\x1b[K\n\x1b[J\x1b[?2026l");
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_what_stood_there() {
        let (fake, mut region) = region(80);
        region.show(picture("0123456789012345678901234567890123456789\nx"));
        taken(&fake);
        fake.columns.store(20, Ordering::Relaxed);
        region.tick();
        let written = taken(&fake);
        assert!(written.starts_with("\x1b[?2026h\x1b[3A\r"), "two rows and one: {written:?}");
        assert!(written.contains("012345678901234567…\x1b[K"), "{written:?}");
    }

    #[test]
    fn a_short_terminal_gets_no_more_lines_than_it_has() {
        let (fake, mut region) = region(80);
        region.show(picture("1\n2\n3\n4\n5\n6\n7"));
        assert_eq!(taken(&fake).matches('\n').count(), 4);
    }

    #[test]
    fn other_output_goes_above() {
        let (fake, mut region) = region(80);
        region.show(picture("view"));
        taken(&fake);
        let other = fake.clone();
        region.above(move || other.written.lock().unwrap().push_str("line\n"));
        assert_eq!(taken(&fake), "\x1b[1A\r\x1b[Jline\n\x1b[?2026hview\x1b[K\n\x1b[J\x1b[?2026l");
    }
}
