//! A pipe that is waited for while the caller is asked whether to go on: reading from it may take for ever.

use super::Workers;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Bytes that are read at a time, and how many such pieces wait.
const PIECE: usize = 1 << 20;
const WAITING: usize = 4;

/// How long nobody is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// What comes from a thread of its own, which reads. When the caller wants no more while it waits for bytes, that thread is left behind; it ends with
/// the next bytes, or with the process.
pub struct Attended<'w> {
    pieces: Receiver<io::Result<Vec<u8>>>,
    now: io::Cursor<Vec<u8>>,
    ended: bool,
    workers: &'w Workers,
}

impl<'w> Attended<'w> {
    /// Starts to read.
    pub fn new(mut source: impl Read + Send + 'static, workers: &'w Workers) -> io::Result<Attended<'w>> {
        let (send, pieces) = sync_channel(WAITING);
        let read = move || {
            loop {
                // Behind a whole piece the end is looked for.
                let mut piece = Vec::with_capacity(PIECE + 32);
                let read = (&mut source).take(PIECE as u64).read_to_end(&mut piece);
                let last = !matches!(read, Ok(n) if n > 0);
                if send.send(read.map(|_| piece)).is_err() || last {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("mmh-reader".into()).spawn(read)?;
        Ok(Attended { pieces, now: io::Cursor::default(), ended: false, workers })
    }

    fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            self.workers.check().map_err(|e| io::Error::other(e.to_string()))?;
            match self.pieces.recv_timeout(PAUSE) {
                Ok(piece) => return piece,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }
}

impl Read for Attended<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.now.read(buf)?;
        if n > 0 || self.ended || buf.is_empty() {
            return Ok(n);
        }
        self.now = io::Cursor::new(self.next()?);
        self.ended = self.now.get_ref().is_empty();
        self.now.read(buf)
    }
}
