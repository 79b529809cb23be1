//! Writes a recording on a thread of its own, so that a slow disk never holds up a decision. What was written some
//! seconds ago is readable whatever happens to the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::line::{Header, write_header};

/// Largest recording unless asked for otherwise, in millions of bytes as compressed.
pub const MAX_MB: u64 = 256;

/// A kill loses at most what came since.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// What may wait for the disk, in bytes. A disk that is so far behind ends the recording, not the aggregator.
const QUEUED_MAX: usize = 32 << 20;

/// Where to record, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file; one that exists is never written over.
    pub file: PathBuf,
    /// It is not made larger than this, in bytes.
    pub bytes_max: u64,
}

/// What became of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Lines, the first included.
    pub lines: u64,
    /// Bytes, as compressed.
    pub bytes: u64,
    /// It is as large as was allowed.
    pub is_full: bool,
}

/// A recording that is being made.
pub struct Writer {
    file: PathBuf,
    lines: mpsc::Sender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    thread: JoinHandle<io::Result<Written>>,
}

impl Target {
    /// A file of this name, of at most so many millions of bytes.
    pub fn new(file: PathBuf, mb_max: u64) -> Target {
        Target { file, bytes_max: mb_max.saturating_mul(1_000_000) }
    }

    /// The first of `day.jsonl.gz`, `day-2.jsonl.gz`, `day-3.jsonl.gz`, ... that does not exist: a server that is
    /// restarted goes on beside what it wrote before.
    #[must_use]
    pub fn beside(self) -> Target {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, ending) = name.split_at(name.find('.').filter(|at| *at > 0).unwrap_or(name.len()));
        let numbered = (2_u32..).map(|number| self.file.with_file_name(format!("{stem}-{number}{ending}")));
        let free = std::iter::once(self.file.clone()).chain(numbered).find(|file| !file.exists());
        Target { file: free.unwrap_or(self.file), ..self }
    }
}

impl Writer {
    /// Opens the file, which must not exist, and writes the first line.
    pub fn start(target: &Target, header: &Header) -> Result<Writer, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", target.file.display());
        let output = create(&target.file).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return named(&"exists already; name another file, or remove it");
            }
            named(&error)
        })?;
        Writer::on(output, target, header).map_err(|error| named(&error))
    }

    /// As [`Writer::start`], to what is open.
    pub fn on(output: impl Write + Send + 'static, target: &Target, header: &Header) -> io::Result<Writer> {
        let (lines, receiver) = mpsc::channel::<Vec<u8>>();
        let queued = Arc::new(AtomicUsize::new(0));
        let mut tape = Tape::new(output, target.bytes_max);
        let taken = Arc::clone(&queued);
        let first = write_header(header);
        let thread = thread::Builder::new().name("record".into());
        let thread = thread.spawn(move || {
            tape.write(&first)?;
            tape.run(&receiver, &taken)
        })?;
        Ok(Writer { file: target.file.clone(), lines, queued, thread })
    }

    /// Where it is written.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Hands over a line, without its line end; never waits. `false` when no more is taken: [`Writer::finish`] says why.
    pub fn write(&self, line: Vec<u8>) -> bool {
        let length = line.len();
        let before = self.queued.fetch_add(length, Ordering::Relaxed);
        before + length <= QUEUED_MAX && self.lines.send(line).is_ok()
    }

    /// Writes what waits and closes the file. A disk that is too far behind is left to itself, not waited for.
    pub fn finish(self) -> Result<Written, String> {
        drop(self.lines);
        if self.queued.load(Ordering::Relaxed) > QUEUED_MAX {
            return Err(format!("{}: the disk takes it too slowly", self.file.display()));
        }
        let written = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")));
        written.map_err(|error| format!("{}: {error}", self.file.display()))
    }
}

/// For nobody else to read: it tells who was home when.
fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Counts what goes to the disk.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The thread's belongings.
struct Tape<W: Write> {
    encoder: GzEncoder<Counted<W>>,
    bytes_max: u64,
    /// Not yet flushed, as plain text: an upper bound of what it adds.
    pending: u64,
    lines: u64,
    flushed_at: Instant,
}

impl<W: Write> Tape<W> {
    fn new(output: W, bytes_max: u64) -> Tape<W> {
        let encoder = GzEncoder::new(Counted { inner: output, bytes: 0 }, Compression::default());
        Tape { encoder, bytes_max, pending: 0, lines: 0, flushed_at: Instant::now() }
    }

    fn run(mut self, lines: &mpsc::Receiver<Vec<u8>>, queued: &AtomicUsize) -> io::Result<Written> {
        let mut is_full = false;
        while !is_full {
            match lines.recv_timeout(FLUSH_EVERY.saturating_sub(self.flushed_at.elapsed())) {
                Ok(line) => {
                    queued.fetch_sub(line.len(), Ordering::Relaxed);
                    is_full = !self.write_if_it_fits(&line)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.flushed_at.elapsed() >= FLUSH_EVERY {
                self.flush()?;
            }
        }
        let lines = self.lines;
        let counted = self.encoder.finish()?;
        Ok(Written { lines, bytes: counted.bytes, is_full })
    }

    /// `false` if the recording would become too large.
    fn write_if_it_fits(&mut self, line: &[u8]) -> io::Result<bool> {
        let least = |tape: &Self| tape.encoder.get_ref().bytes + tape.pending + line.len() as u64;
        // Text shrinks to a tenth; only what is flushed tells how much is really left.
        if least(self) > self.bytes_max {
            self.flush()?;
        }
        if least(self) > self.bytes_max {
            return Ok(false);
        }
        self.write(line)?;
        Ok(true)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.encoder.write_all(line)?;
        self.encoder.write_all(b"\n")?;
        self.lines += 1;
        self.pending += line.len() as u64 + 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed_at = Instant::now();
        if std::mem::take(&mut self.pending) > 0 {
            self.encoder.flush()?;
        }
        Ok(())
    }
}
