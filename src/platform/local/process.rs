//! What the operating system knows of processes: who lives, since when, in which group; and how to end them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// The variable that marks every process of an agent; its value is the agent's state folder.
pub const MARK: &str = "MSCTL_LOCAL";

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    pub pid: u32,
    /// Clock ticks from boot to the process's start.
    pub start: u64,
}

impl Birth {
    /// The living process `pid`; None when it has ended, if only as a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        (!stat.ended).then_some(Birth { pid, start: stat.start })
    }
    pub fn me() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Birth { pid, start: 0 })
    }
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

struct Stat {
    ended: bool,
    group: u32,
    start: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&text)
    }
    /// The name in parentheses may hold anything, so fields are counted from its end.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Stat {
            ended: matches!(*fields.first()?, "Z" | "X"),
            group: fields.get(2)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a process of the group lives; zombies do not count.
pub fn group_lives(group: u32) -> bool {
    pids().any(|pid| Stat::of(pid).is_some_and(|s| s.group == group && !s.ended))
}

/// Signals every process of a group. One that has ended meanwhile is no error.
pub fn signal_group(group: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw).filter(|_| group > 1) {
        // Gone, or never ours: there is nothing left to signal.
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Process groups of living processes that carry the mark of the agent with this state folder.
pub fn marked_groups(state: &Path) -> Vec<u32> {
    let mark = format!("{MARK}={}", state.display());
    let me = std::process::id();
    let mut groups: Vec<u32> = pids()
        .filter(|pid| *pid != me)
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|v| v == mark.as_bytes())
        })
        .filter_map(|pid| Stat::of(pid).filter(|s| !s.ended).map(|s| s.group))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// A port nobody listens on, below the range the kernel gives to outgoing connections.
pub fn free_port(taken: impl Fn(u16) -> bool) -> Option<u16> {
    let first: u16 = rand::random_range(20_000..30_000);
    (0..10_000).map(|i| 20_000 + (first - 20_000 + i) % 10_000).filter(|p| !taken(*p)).find(|p| {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, *p)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, *p)).is_ok()
            && (TcpListener::bind((Ipv6Addr::LOCALHOST, *p)).is_ok() || !ipv6())
    })
}

fn ipv6() -> bool {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).is_ok()
}

/// Who listens on a TCP port, as `name (pid N)`; None when the kernel does not tell.
pub fn listener_of(port: u16) -> Option<String> {
    let wanted = format!(":{port:04X}");
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|f| {
            std::fs::read_to_string(f).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listening = fields.get(3) == Some(&"0A") && fields.get(1)?.ends_with(&wanted);
            listening.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"?")))
        })
        .collect();
    let pid = pids().find(|pid| {
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links
            .filter_map(|l| std::fs::read_link(l.path()).ok())
            .any(|target| inodes.iter().any(|i| target.as_os_str() == i.as_str()))
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a) b (c)) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        let stat = Stat::parse(text).unwrap();
        assert!(stat.ended);
        assert_eq!((stat.group, stat.start), (7, 98765));
    }

    #[test]
    fn i_am_alive_and_a_reused_number_is_not() {
        let me = Birth::me();
        assert!(me.alive());
        assert!(!Birth { start: me.start + 1, ..me }.alive());
    }

    #[test]
    fn a_port_in_use_is_not_free_and_has_an_owner() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let owner = listener_of(port).expect("own processes are visible");
        assert!(owner.contains(&format!("pid {}", std::process::id())), "{owner}");
        assert_ne!(free_port(|_| false), Some(port));
    }
}
