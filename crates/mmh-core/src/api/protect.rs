//! Parity for files: adding it, looking at what is left, mending.

use super::target::Target;
use super::{Progress, Step, Workers};
use crate::base::Base;
use crate::container::ending::ends_like_ours;
use crate::container::reader::Archive;
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use crate::parity::{self, Examination, Plan};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;

/// Opens a regular file.
fn open(path: &Path) -> Result<FileAt> {
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    FileAt::new(file).map_err(io)
}

/// A stretch from the beginning of something.
struct Start<'a>(&'a dyn ReadAt, u64);

impl ReadAt for Start<'_> {
    fn len(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= self.1 => self.0.read_exact_at(offset, buf),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Appends the section of all that is in `target` so far.
pub(super) fn append(
    target: &mut Target,
    percent: u32,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Plan> {
    target.file().flush()?;
    let body = FileAt::new(target.file().try_clone()?)?;
    let (plan, table) = parity::hashed(&body, Plan::new(body.len(), percent), None, workers, progress)?;
    append_section(target, &body, &plan, &table, workers, progress)?;
    Ok(plan)
}

/// Appends the section of a body that is in `target` and whose sums are known.
fn append_section(
    target: &mut Target,
    body: &FileAt,
    plan: &Plan,
    table: &[u8],
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<()> {
    let spool = target.spool();
    target.file().seek(std::io::SeekFrom::Start(plan.body))?;
    let mut out = target.writer();
    parity::write(body, plan, table, &spool, &mut out, workers, progress)?;
    Ok(out.flush()?)
}

/// What protecting did.
#[derive(Clone, Copy, Debug)]
pub struct Protected {
    /// The plan.
    pub plan: Plan,
    /// Frames that are differences from a base that was not given: whether they are sound was not to be seen.
    pub unchecked: u64,
}

/// Writes `source` with parity to `target`, which may be `source` itself; parity that it had before is replaced. A damaged file is refused:
/// its damage would be protected. `base` is what it was compressed against.
pub fn protect_file(
    source: &Path,
    target: &Path,
    base: Option<Arc<Base>>,
    percent: u32,
    force: bool,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Protected> {
    let input = open(source)?;
    let body = parity::body_len(&input)?;
    let mut archive = Archive::open_within(&input, &Limits::NONE)?;
    let against = base.clone();
    archive.set_base(base)?;
    let refused = |at: Option<u64>, what: &str| Error::Corrupt {
        what: format!("{what}: parity would protect the damage"),
        at,
    };
    let unchecked = if archive.needs_base().is_some() && archive.base().is_none() {
        super::verify::check_without_base(&archive, workers).map_err(|e| match e {
            Error::Corrupt { what, at } => refused(at, &what),
            e => e,
        })?
    } else {
        if let Some(damage) = super::verify(&archive, workers, progress)?.damaged.first() {
            return Err(refused(Some(damage.offset), &damage.what));
        }
        0
    };
    let in_place = same(source, target);
    let read = [(!in_place).then_some(source), against.as_deref().and_then(Base::place)];
    let mut to = Target::new(target, force || in_place, read)?;
    let plan = Plan::new(body, percent);
    to.reserve(plan.file())?;
    let mut out = to.writer();
    let (plan, table) = parity::hashed(&Start(&input, body), plan, Some(&mut out), workers, progress)?;
    out.flush()?;
    drop(out);
    // What was copied has to be what was verified.
    input.check_unchanged().map_err(|e| Error::io(source, e))?;
    let copied = FileAt::new(to.file().try_clone()?)?;
    append_section(&mut to, &copied, &plan, &table, workers, progress)?;
    to.file().sync_all()?;
    to.commit(Some(input.file()))?;
    Ok(Protected { plan, unchecked })
}

/// Whether both are names of one place. Another name of the same file is another place.
fn same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// What is left of a protected file; `None` if there is no sign of parity in it.
pub fn examine_file(path: &Path, workers: &Workers, progress: Progress<'_>) -> Result<Option<Examination>> {
    parity::examine(&open(path)?, workers, progress)
}

/// What mending did.
#[derive(Clone, Debug)]
pub struct Mended {
    /// Stretches of the body that were restored.
    pub restored: Vec<std::ops::Range<u64>>,
    /// Recovery shards that were lost, and are made again.
    pub lost_recovery: u64,
    /// Nothing was wrong.
    pub sound: bool,
    /// The plan; `None` where there is no parity, and none is needed.
    pub plan: Option<Plan>,
    /// Bytes of the file without its parity.
    pub body: u64,
}

/// Writes a protected file whole again, with its parity, to `target`, which may be `source` itself. It gets its name only when its hash is the one
/// that was protected. A file in which nothing is wrong is not written, if it would be in its own place.
pub fn repair_file(
    source: &Path,
    target: &Path,
    force: bool,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Mended> {
    let input = open(source)?;
    let in_place = same(source, target);
    // It is read, and then it is written.
    let mut first = |s: Step| progress(Step { done: s.done / 3, ..s });
    let Some(found) = parity::examine(&input, workers, &mut first)? else {
        return without_parity(&input, in_place, workers, progress);
    };
    let plan = found.plan;
    let mended = Mended {
        restored: found.lost(),
        lost_recovery: found.lost_recovery(),
        sound: found.is_sound(),
        plan: Some(plan),
        body: plan.body,
    };
    if mended.sound && in_place {
        return Ok(mended);
    }
    let mut to = Target::new(target, force || in_place, [(!in_place).then_some(source)])?;
    if found.is_mendable() {
        to.reserve(plan.file())?;
    }
    let spool = to.spool();
    let mut out = to.writer();
    let mut then = |s: Step| progress(Step { done: plan.body / 3 + s.done / 3 * 2, ..s });
    parity::mend(&input, &found, &spool, &mut out, workers, &mut then)?;
    out.flush()?;
    drop(out);
    to.file().sync_all()?;
    to.commit(Some(input.file()))?;
    Ok(mended)
}

/// A sound file needs none.
fn without_parity(
    input: &FileAt,
    in_place: bool,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Mended> {
    let archive = Archive::open_within(input, &Limits::NONE).map_err(|e| match e {
        Error::Corrupt { what, at } => no_parity(&what, at),
        Error::NotMmh(_) if ends_like_ours(input) => no_parity("its beginning is missing or damaged", None),
        e => e,
    })?;
    if archive.needs_base().is_some() {
        super::verify::check_without_base(&archive, workers)?;
    } else if let Some(damage) = super::verify(&archive, workers, progress)?.damaged.first() {
        return Err(no_parity(&damage.what, Some(damage.offset)));
    }
    if !in_place {
        let what = "is sound and has no parity: there is nothing to mend, and nothing was written";
        return Err(Error::Invalid(what.into()));
    }
    Ok(Mended { restored: Vec::new(), lost_recovery: 0, sound: true, plan: None, body: input.len() })
}

fn no_parity(damage: &str, at: Option<u64>) -> Error {
    let what = format!(
        "{damage}: there is no parity to mend it with (mmh repair --salvage saves the tensors that are intact)"
    );
    Error::Corrupt { what, at }
}
