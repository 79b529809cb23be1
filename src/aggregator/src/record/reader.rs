//! Reads a recording line by line. The bytes are foreign: a line is bounded before it is kept, a bad one costs no other,
//! and a file that ends in the middle is good up to there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use whichroom_presence::Moment;

use super::line::{self, HEADER_MAX, Header, LINE_MAX};
use crate::decider::Given;

/// What every gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// No two lines are further apart, in milliseconds: beyond, it is the time that is wrong. A week.
const GAP_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// A recording that is being read.
pub struct Reader {
    input: Box<dyn BufRead>,
    line: Vec<u8>,
    decoded: Vec<u8>,
    number: u64,
    latest: Moment,
    is_over: bool,
}

/// What comes next in a recording.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    /// What the engine was given, and when.
    Given(Moment, Given<'a>),
    /// A line that does not read.
    Bad {
        /// Of the line, from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file ends in the middle of something; nothing follows.
    Cut {
        /// Whole lines before it.
        after: u64,
        /// How one can tell.
        why: String,
    },
    /// It is read.
    End,
}

/// One line, as far as there is one.
enum Line {
    Whole,
    /// The last one, which nothing ends.
    Unended,
    TooLong,
    Broken(String),
    End,
}

impl Reader {
    /// Opens a recording, compressed or plain, and reads its first line.
    pub fn open(file: &Path) -> Result<(Header, Reader), String> {
        let open = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Reader::new(open).map_err(|error| format!("{}:1: {error}", file.display()))
    }

    /// As [`Reader::open`], of any bytes.
    pub fn new(bytes: impl Read + 'static) -> Result<(Header, Reader), String> {
        let mut plain = BufReader::with_capacity(1 << 16, bytes);
        let start = plain.fill_buf().map_err(|error| error.to_string())?;
        let input: Box<dyn BufRead> = if start.starts_with(&GZIP) {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        let mut reader = Reader {
            input,
            line: Vec::new(),
            decoded: Vec::new(),
            number: 0,
            latest: Moment::from_ms(0),
            is_over: false,
        };
        let header = match reader.read_line(HEADER_MAX) {
            Line::Whole | Line::Unended => line::read_header(&reader.line),
            Line::TooLong => Err(format!("more than {HEADER_MAX} bytes")),
            Line::Broken(why) => Err(why),
            Line::End => Err("nothing is in it".to_owned()),
        };
        let header = header.map_err(|why| format!("this is no recording of whichroom: {why}"))?;
        reader.latest = Moment::from_ms(header.t_ms);
        Ok((header, reader))
    }

    /// The next line; [`Next::Cut`] or [`Next::End`] is the last.
    pub fn next(&mut self) -> Next<'_> {
        if self.is_over {
            return Next::End;
        }
        let (number, after) = (self.number + 1, self.number);
        let unended = match self.read_line(LINE_MAX) {
            Line::Whole => false,
            Line::Unended => true,
            Line::TooLong => return Next::Bad { number, why: format!("more than {LINE_MAX} bytes") },
            Line::Broken(why) => {
                self.is_over = true;
                return Next::Cut { after, why };
            }
            Line::End => {
                self.is_over = true;
                return Next::End;
            }
        };
        let read = line::read(&self.line, &mut self.decoded);
        match read.and_then(|(at, given)| in_order(self.latest, at).map(|()| (at, given))) {
            Ok((at, given)) => {
                self.latest = at;
                Next::Given(at, given)
            }
            Err(why) if unended => {
                self.is_over = true;
                Next::Cut { after, why }
            }
            Err(why) => Next::Bad { number, why },
        }
    }

    /// Reads up to a line end into `line`; of a line that is too long nothing is kept.
    fn read_line(&mut self, max: usize) -> Line {
        self.line.clear();
        let mut length = 0;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Line::Broken(broken(&error)),
            };
            if available.is_empty() {
                return if length == 0 { Line::End } else { self.ended(length, max, Line::Unended) };
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            length += part.len();
            if length <= max {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return self.ended(length, max, Line::Whole);
            }
        }
    }

    fn ended(&mut self, length: usize, max: usize, line: Line) -> Line {
        self.number += 1;
        if length > max { Line::TooLong } else { line }
    }
}

fn broken(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the compressed stream has no end".to_owned();
    }
    format!("the compressed stream is damaged: {error}")
}

fn in_order(latest: Moment, at: Moment) -> Result<(), String> {
    if at < latest {
        return Err(format!("t_ms {} is before the line before, {}", at.as_ms(), latest.as_ms()));
    }
    if at.since(latest) > GAP_MAX_MS {
        return Err(format!(
            "t_ms {} is more than a week after the line before, {}",
            at.as_ms(),
            latest.as_ms()
        ));
    }
    Ok(())
}
