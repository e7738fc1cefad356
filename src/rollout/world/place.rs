//! The [`Platform`] over a world, as one process sees it: requests take time, fail, are lost on the way there or back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;

use super::machine::{Until, holder};
use super::view::View;
use super::{Kind, OURS, Object, Shared, lock};
use crate::context::Ctx;
use crate::platform::{
    Answer, Capabilities, Change, Error, JobEnd, JobRun, Lease, LogLine, LogQuery, MigrationRun, Platform,
    Release, Result, Stored, Template,
};
use crate::rollout::{Abilities, Effect, Observation, Routing, Selection, Slot};

pub struct Place {
    pub world: Shared,
    name: String,
    view: Mutex<View>,
    /// The state's version when the Lease was given up.
    left: Mutex<Option<String>>,
    /// Someone changed the state between giving the Lease up and taking it again.
    astray: AtomicBool,
}

struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn lost(text: &str) -> Error {
    Error::Unreachable(text.into())
}

impl Place {
    pub fn new(world: &Shared) -> Place {
        Place::named(world, "me")
    }

    /// As the process on machine `name` sees it.
    pub fn named(world: &Shared, name: &str) -> Place {
        Place {
            world: world.clone(),
            name: name.to_owned(),
            view: Mutex::default(),
            left: Mutex::default(),
            astray: AtomicBool::default(),
        }
    }

    async fn wait(&self, time: u64) {
        if time == 0 {
            return;
        }
        let due = lock(&self.world).now + time;
        Until(|| {
            let mut world = lock(&self.world);
            if world.now < due {
                world.timers.push(due);
            }
            world.now >= due
        })
        .await;
    }

    /// Lets others run, then perhaps fails, or dies, before the request arrives.
    async fn before(&self, write: bool) -> Result<()> {
        lock(&self.world).pulse += 1;
        Yield(false).await;
        let (latency, fault) = {
            let mut world = lock(&self.world);
            let (most, fault) = (world.latency, world.fault_per_mille);
            let latency = if most == 0 { 0 } else { world.dice.below(most) };
            let harsh = world.harsh;
            let fault = world.dice.chance(fault).then(|| if harsh { world.dice.below(8) } else { 7 });
            (latency, fault)
        };
        self.wait(latency).await;
        match fault {
            None => {}
            Some(0) => {
                self.wait(30_000).await;
                return Err(lost("no answer within 30 s"));
            }
            Some(1) if write => return Err(Error::Conflict("an object".into())),
            // Slow, but done.
            Some(2) => self.wait(3000).await,
            Some(_) => return Err(lost("the API server answers 500")),
        }
        let die = {
            let mut world = lock(&self.world);
            if write {
                world.writes += 1;
            }
            write && world.kill_at == Some((world.writes, false))
        };
        self.die(die).await;
        Ok(())
    }

    /// Perhaps dies, or loses the answer, after the request was done.
    async fn after(&self, write: bool) -> Result<()> {
        let (fault, die) = {
            let mut world = lock(&self.world);
            let (fault, harsh) = (world.fault_per_mille, world.harsh);
            let fault = (write && world.dice.chance(fault)).then(|| harsh && world.dice.chance(200));
            (fault, write && world.kill_at == Some((world.writes, true)))
        };
        if let Some(silent) = fault {
            self.wait(if silent { 30_000 } else { 0 }).await;
            return Err(lost("the answer was lost"));
        }
        self.die(die).await;
        Ok(())
    }

    async fn die(&self, die: bool) {
        if die {
            lock(&self.world).killed = true;
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Platform for Place {
    fn place(&self) -> String {
        "the simulation".into()
    }
    async fn capabilities(&self) -> Result<Capabilities> {
        self.before(false).await?;
        let world = lock(&self.world);
        Ok(Capabilities {
            router: world.router.then(|| "simulated".to_owned()),
            route_lag: Duration::from_millis(if world.router { world.lag } else { 0 }),
            abilities: if world.router { Abilities::ALL } else { Abilities::default() },
        })
    }
    async fn template(&self, _: &Ctx, _: &Release) -> anyhow::Result<Template> {
        anyhow::bail!("the simulation builds nothing")
    }
    async fn diff(&self, _: &Release, _: &Template) -> anyhow::Result<Vec<Change>> {
        Ok(Vec::new())
    }
    async fn install(&self, _: &Release, _: &Template, epoch: u64) -> anyhow::Result<Vec<Change>> {
        self.before(true).await?;
        {
            let mut world = lock(&self.world);
            for object in [Object::Service, Object::Route] {
                world.fence(object, epoch)?;
            }
            if world.selection.is_none() {
                world.select(Selection::Blue, OURS);
            }
            if world.router && world.route.is_none() {
                world.point(Routing::all(Slot::Blue), OURS);
            }
        }
        self.after(true).await?;
        Ok(Vec::new())
    }
    async fn delete(&self) -> anyhow::Result<Vec<Change>> {
        anyhow::bail!("the simulation deletes nothing")
    }

    async fn load(&self) -> Result<Option<Stored>> {
        self.before(false).await?;
        Ok(lock(&self.world).state.clone())
    }
    async fn save(&self, body: &str, version: Option<&str>) -> Result<String> {
        self.before(true).await?;
        let new = {
            let mut world = lock(&self.world);
            if world.state.as_ref().map(|s| s.version.as_str()) != version {
                return Err(Error::Conflict("the state".into()));
            }
            let new = world.version();
            world.state = Some(Stored { body: body.to_owned(), version: new.clone() });
            world.bump(Kind::State);
            world.judge_state(body, &self.view.lock().unwrap());
            new
        };
        self.after(true).await?;
        self.view.lock().unwrap().wrote(&lock(&self.world), Kind::State);
        Ok(new)
    }
    async fn put_template(&self, revision: u32, template: &Template) -> Result<()> {
        self.before(true).await?;
        lock(&self.world).templates.insert(revision, template.clone());
        self.after(true).await
    }
    async fn get_template(&self, revision: u32) -> Result<Template> {
        let world = lock(&self.world);
        world.templates.get(&revision).cloned().ok_or_else(|| Error::NotFound(format!("revision {revision}")))
    }

    async fn lease(&self) -> Result<Option<Lease>> {
        self.before(false).await?;
        Ok(lock(&self.world).lease.clone())
    }
    async fn take_lease(&self, holder: &str, seen: Option<&Lease>) -> Result<Lease> {
        self.before(true).await?;
        let lease = {
            let mut world = lock(&self.world);
            if world.lease.as_ref() != seen {
                return Err(Error::Conflict("the lease".into()));
            }
            world.judge_taking(holder, seen);
            let version = world.version();
            let now = Some(world.time());
            let lease = Lease { holder: holder.into(), acquired: now, renewed: now, version };
            world.lease = Some(lease.clone());
            let left = self.left.lock().unwrap().take();
            let present = world.state.as_ref().map(|s| s.version.clone());
            self.astray.store(left.is_some() && left != present, Ordering::Relaxed);
            world.laws.took(holder);
            world.note(|_| format!("{holder} takes the lease"));
            lease
        };
        self.after(true).await?;
        Ok(lease)
    }
    async fn renew_lease(&self, held: &Lease, release: bool) -> Result<Lease> {
        self.before(true).await?;
        let lease = {
            let mut world = lock(&self.world);
            if world.lease.as_ref().map(|l| &l.version) != Some(&held.version) {
                return Err(Error::Conflict("the lease".into()));
            }
            world.judge_renewal(&holder(&self.name), held);
            let version = world.version();
            let holder = if release { String::new() } else { held.holder.clone() };
            if release {
                world.note(|_| format!("{} releases the lease", held.holder));
                *self.left.lock().unwrap() = world.state.as_ref().map(|s| s.version.clone());
            }
            let lease = Lease { holder, acquired: held.acquired, renewed: Some(world.time()), version };
            world.lease = Some(lease.clone());
            lease
        };
        self.after(true).await?;
        Ok(lease)
    }
    async fn epoch(&self) -> Result<u64> {
        self.before(false).await?;
        Ok(lock(&self.world).epoch())
    }
    async fn raise_epoch(&self, epoch: u64) -> Result<()> {
        let first = lock(&self.world).dice.below(5) as usize;
        for offset in 0..5 {
            self.before(true).await?;
            lock(&self.world).fence(Object::ALL[(first + offset) % 5], epoch)?;
            self.after(true).await?;
        }
        Ok(())
    }

    async fn observe(&self) -> Result<Observation> {
        if lock(&self.world).latency == 0 {
            self.before(false).await?;
        } else {
            // Read from caches: it costs nothing, and cannot fail.
            lock(&self.world).pulse += 1;
            Yield(false).await;
        }
        let mut world = lock(&self.world);
        world.reconcile();
        let mut view = self.view.lock().unwrap();
        view.look(&mut world);
        Ok(view.observation(&world))
    }
    async fn reread(&self) -> Result<()> {
        self.before(false).await?;
        self.view.lock().unwrap().reread(&lock(&self.world));
        Ok(())
    }
    async fn changed(&self) {
        let spurious = lock(&self.world).dice.chance(20);
        if spurious {
            lock(&self.world).pulse += 1;
            return Yield(false).await;
        }
        Until(|| self.view.lock().unwrap().news(&mut lock(&self.world))).await;
    }
    async fn execute(&self, effect: &Effect, epoch: u64) -> Result<()> {
        self.before(true).await?;
        let object = match effect {
            Effect::Apply { slot, .. } | Effect::Scale { slot, .. } => Object::slot(*slot),
            Effect::Route(_) => Object::Route,
            Effect::Select(_) => Object::Service,
            Effect::Rebound { slot, .. } => Object::slot(*slot),
            Effect::Prune { .. } | Effect::Experiment { .. } => Object::Templates,
        };
        {
            let mut world = lock(&self.world);
            world.fence(object, epoch)?;
            if let Effect::Apply { revision, .. } = effect
                && !world.has_template(*revision)
            {
                return Err(Error::NotFound(format!("revision {revision}")));
            }
            world.judge_writer(&holder(&self.name), effect, &self.view.lock().unwrap());
            if self.astray.load(Ordering::Relaxed) {
                world.breaks(format!("{effect:?} by {}, whose state another has changed", self.name));
            }
            world.judge_fence(effect, epoch);
            world.judge_drain(effect);
            world.apply(effect);
        }
        self.after(true).await?;
        let (mut view, world) = (self.view.lock().unwrap(), lock(&self.world));
        match effect {
            Effect::Apply { slot, .. } | Effect::Scale { slot, .. } => view.wrote_slot(&world, *slot),
            Effect::Route(_) => view.wrote(&world, Kind::Route),
            Effect::Select(_) => view.wrote(&world, Kind::Service),
            Effect::Rebound { slot, .. } => view.wrote_slot(&world, *slot),
            Effect::Prune { .. } | Effect::Experiment { .. } => {}
        }
        Ok(())
    }

    fn has_jobs(&self) -> bool {
        true
    }
    async fn job(&self, run: &JobRun, epoch: u64) -> Result<JobEnd> {
        self.before(true).await?;
        let due = {
            let mut world = lock(&self.world);
            let due = world.begin_job(run, epoch)?;
            due.saturating_sub(world.now)
        };
        self.after(true).await?;
        self.wait(due).await;
        lock(&self.world).end_job(run)
    }
    async fn migrate(&self, run: &MigrationRun, epoch: u64) -> Result<JobEnd> {
        self.before(true).await?;
        let due = loop {
            let begun = lock(&self.world).begin_migration(run, epoch)?;
            match begun {
                Some(due) => break due,
                None => self.wait(500).await,
            }
        };
        self.after(true).await?;
        let left = due.saturating_sub(lock(&self.world).now);
        self.wait(left).await;
        lock(&self.world).end_migration(run)
    }
    async fn sweep_jobs(&self, keep: &[String], epoch: u64) -> Result<()> {
        self.before(true).await?;
        lock(&self.world).sweep_jobs(keep, epoch)?;
        self.after(true).await
    }
    /// Own requests are answered; what pods count is told nowhere.
    async fn get(&self, slot: Slot, path: &str) -> Result<Vec<Answer>> {
        lock(&self.world).scraped += 1;
        if path == "/metrics" {
            return Err(Error::Other(anyhow::anyhow!("pods cannot be asked here")));
        }
        self.before(false).await?;
        Ok(lock(&self.world).answers(slot))
    }

    async fn logs(&self, _: &LogQuery, _: tokio::sync::mpsc::Sender<LogLine>) -> anyhow::Result<()> {
        Ok(())
    }
    async fn restart(&self, _: Slot, _: &crate::platform::Replaced<'_>) -> anyhow::Result<u32> {
        Ok(0)
    }
}
