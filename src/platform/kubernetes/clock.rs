//! The API server's clock, from the Date header of its answers: pauses and deadlines are compared in it.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::context::Clock;

pub struct ServerClock {
    local: Arc<dyn Clock>,
    /// What must be added to the local clock: at least, at most.
    bounds: Mutex<(SignedDuration, SignedDuration)>,
}

impl ServerClock {
    pub fn new(local: Arc<dyn Clock>) -> Self {
        ServerClock { local, bounds: Mutex::new((SignedDuration::MIN, SignedDuration::MAX)) }
    }

    pub fn local(&self) -> Timestamp {
        self.local.now()
    }

    /// `date` was written between `sent` and now; it is cut to whole seconds.
    pub fn learn(&self, sent: Timestamp, date: &str) {
        let Ok(date) = jiff::fmt::rfc2822::parse(date).map(|d| d.timestamp()) else { return };
        let least = date.duration_since(self.local());
        let most = date.duration_since(sent) + SignedDuration::from_secs(1);
        let Ok(mut bounds) = self.bounds.lock() else { return };
        let (low, high) = (bounds.0.max(least), bounds.1.min(most));
        // Contradicting bounds: one of the clocks was set, so only the newest answer counts.
        *bounds = if low <= high { (low, high) } else { (least, most) };
    }

    /// The server's time: the local one where that fits, else the least correction that does.
    pub fn now(&self) -> Timestamp {
        let bounds = self.bounds.lock().map(|b| *b).unwrap_or_default();
        let offset = SignedDuration::ZERO.clamp(bounds.0, bounds.1);
        self.local().checked_add(offset).unwrap_or_else(|_| self.local())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Mutex<Timestamp>);
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    #[test]
    fn the_offset_narrows_and_follows_a_set_clock() {
        let local = Arc::new(Fixed(Mutex::new(at("10:00:00.400"))));
        let clock = ServerClock::new(local.clone());
        clock.learn(at("10:00:00.300"), "Thu, 01 Jan 2026 10:00:00 GMT");
        assert_eq!(clock.now(), at("10:00:00.400"), "equal clocks stay as they are");
        clock.learn(at("10:00:00.300"), "Thu, 01 Jan 2026 11:00:00 GMT");
        assert_eq!(clock.now(), at("11:00:00"), "an hour ahead");
        *local.0.lock().unwrap() = at("10:00:01.300");
        clock.learn(at("10:00:01.200"), "Thu, 01 Jan 2026 11:00:01 GMT");
        let now = clock.now();
        assert!(now >= at("11:00:01") && now < at("11:00:02"), "{now}");
        *local.0.lock().unwrap() = at("09:00:00");
        clock.learn(at("08:59:59.900"), "Thu, 01 Jan 2026 09:00:00 GMT");
        assert_eq!(clock.now(), at("09:00:00"), "set right");
    }
}
