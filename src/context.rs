//! What a command works with: settings, the ui, the clock, and adapters made on first use.
//! The only place that constructs adapters, and that starts the asynchronous runtime.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;
use crate::service::{self, Project, Service};
use crate::settings::{Settings, Target};
use crate::ui::Ui;

/// Where time comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Everything a command needs of the outside.
pub struct Ctx {
    pub settings: Settings,
    pub ui: Ui,
    pub clock: Arc<dyn Clock>,
    /// Cancelled by the first Ctrl-C or SIGTERM; a second one ends the process.
    pub interrupt: CancellationToken,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl Ctx {
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let ui = Ui::new(settings.ui.clone(), clock.clone());
        Ctx { settings, ui, clock, interrupt: CancellationToken::new(), runtime: OnceLock::new() }
    }

    /// The same, for work that nobody is asked about: it goes on where a person would be waited for, or ends.
    pub fn unattended(&self) -> Ctx {
        let mut settings = self.settings.clone();
        settings.ui.interactive = false;
        let mut ui = self.ui.clone();
        ui.options.interactive = false;
        let (clock, interrupt) = (self.clock.clone(), self.interrupt.clone());
        Ctx { settings, ui, clock, interrupt, runtime: OnceLock::new() }
    }

    /// Runs a future to its end on the runtime, started now if it was not needed before.
    pub fn block_on<F: Future>(&self, future: F) -> anyhow::Result<F::Output> {
        if self.runtime.get().is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("start the asynchronous runtime")?;
            let _ = self.runtime.set(runtime);
        }
        let runtime = self.runtime.get().context("the runtime was just set")?;
        let _guard = runtime.enter();
        crate::settings::watch_signals(self.interrupt.clone());
        Ok(runtime.block_on(future))
    }

    /// The project (one service, or a workspace of them) that the working folder belongs to.
    pub fn project(&self) -> anyhow::Result<Project> {
        service::discover(&self.settings.directory)
    }

    /// One service of the project: the named one, or the only one.
    pub fn service(&self, name: Option<&str>) -> anyhow::Result<(PathBuf, Service, Target)> {
        let project = self.project()?;
        let member = project.member(name)?;
        let target = self.settings.target(Some(&member.service))?;
        let service = member.service.in_environment(&target.environment)?;
        Ok((member.folder.clone(), service, target))
    }

    /// The place `target` names, for `service`.
    pub async fn platform(&self, service: &Service, target: &Target) -> anyhow::Result<Arc<dyn Platform>> {
        crate::platform::open(self, service, target).await
    }
}
