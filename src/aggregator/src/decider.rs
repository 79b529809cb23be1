//! The engine, and everything that it is ever given. Each call goes through [`Decider::give`] or [`Decider::command`],
//! which write it down first where a recording is made; a replay gives the same to another decider. So what is replayed
//! is what was decided on. The hub and the replay call it.

use std::borrow::Cow;
use std::collections::VecDeque;

use whichroom_presence::calibration::{CalibrateError, Samples};
use whichroom_presence::output::{Effect, Witnessed};
use whichroom_presence::setup::Setup;
use whichroom_presence::{Engine, Explanation, Moment, Snapshot};
use whichroom_wire::{Id, Topic};

use crate::calibrate::{Calibration, Calibrations};
use crate::clock::Clock;
use crate::command::{Answer, Command, Outcome, Refusal};
use crate::note::{self, Noted};
use crate::record::line;

/// Something that the engine is given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given<'a> {
    /// A message of the broker.
    Message {
        /// Below the site's root.
        topic: Cow<'a, str>,
        /// Foreign bytes.
        payload: &'a [u8],
        /// It was delivered because it is retained.
        retained: bool,
    },
    /// A time came that the engine waited for.
    Timeout,
    /// The connection to the broker came or went.
    Broker {
        /// Whether it is there now.
        connected: bool,
    },
    /// The configuration was read again.
    Setup(Box<Setup>),
    /// Everything is to be said anew.
    PublishAll,
}

/// The engine with its way in.
#[derive(Debug)]
pub struct Decider {
    engine: Engine,
    /// For the times that people read.
    clock: Clock,
    /// Lines for the recording that is made.
    tape: Option<VecDeque<Vec<u8>>>,
    notes: Vec<(String, Moment)>,
}

impl Decider {
    /// A decider whose engine begins with this.
    pub fn new(
        setup: Setup,
        samples: Samples,
        snapshot: Option<Snapshot>,
        clock: Clock,
        now: Moment,
    ) -> Decider {
        let mut engine = Engine::new(setup, snapshot, now);
        engine.handle_samples(samples, now);
        Decider { engine, clock, tape: None, notes: Vec::new() }
    }

    /// From now on, [`Decider::poll_witnessed`] gives what counted of the access points' messages.
    pub fn witness_all(&mut self) {
        self.engine.witness_all();
    }

    /// See [`Engine::poll_witnessed`].
    pub fn poll_witnessed(&mut self) -> Option<Witnessed> {
        self.engine.poll_witnessed()
    }

    /// From now on everything is written down: take it with [`Decider::poll_line`].
    pub fn record(&mut self) {
        self.tape = Some(VecDeque::new());
    }

    /// The recording is over.
    pub fn stop_recording(&mut self) {
        self.tape = None;
    }

    /// The next line of the recording, without its line end.
    pub fn poll_line(&mut self) -> Option<Vec<u8>> {
        self.tape.as_mut()?.pop_front()
    }

    /// Gives something to the engine. A command among messages that is not obeyed is the answer.
    pub fn give(&mut self, given: Given<'_>, now: Moment) -> Option<String> {
        self.write_down(&given, now);
        match given {
            Given::Message { topic, payload, retained } => {
                return self.message(&topic, payload, retained, now).err();
            }
            Given::Timeout => self.engine.handle_timeout(now),
            Given::Broker { connected } => self.engine.handle_broker(connected, now),
            Given::Setup(setup) => self.engine.handle_setup(*setup, now),
            Given::PublishAll => self.engine.publish_all(),
        }
        None
    }

    /// Carries out a command. One that changes something is written down as a message on its topic.
    pub fn command(&mut self, command: &Command, now: Moment) -> Outcome {
        if command.changes() && self.tape.is_some() {
            let (topic, payload) = command.message();
            self.write_down(&Given::Message { topic: topic.into(), payload: &payload, retained: false }, now);
        }
        self.carry_out(command, now)
    }

    fn message(&mut self, topic: &str, payload: &[u8], retained: bool, now: Moment) -> Result<(), String> {
        match Topic::parse(topic) {
            Some(Topic::Calibrate) => {
                self.engine.handle_calibrate(payload, retained, self.clock.rfc3339(now), now)
            }
            Some(Topic::Set(name)) if !retained => {
                self.obey(&name, payload, now).map_err(|refusal| refusal.to_string())
            }
            // It would be obeyed again at every connection.
            Some(Topic::Set(_)) => Err("it is retained; send commands without retain".to_owned()),
            Some(_) | None => {
                self.engine.handle_publish(topic, payload, retained, now);
                Ok(())
            }
        }
    }

    /// Nobody hears the answer to a command that came as a message.
    fn obey(&mut self, name: &Id, payload: &[u8], now: Moment) -> Result<(), Refusal> {
        let command = Command::read(name.as_str(), payload)?;
        if command.changes() {
            self.carry_out(&command, now)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, command: &Command, now: Moment) -> Outcome {
        match command {
            Command::Explain { id } => self.explain(id, now).map(Answer::Explanation),
            Command::Calibrate { device, room } => self.calibrate(device, room, now),
            Command::GiveUpAp { ap } => self.give_up_ap(ap, now),
            Command::ResetDoze { id } => {
                self.engine.reset_doze(id, now);
                self.explain(id, now).map(Answer::Explanation)
            }
            Command::Samples {} => Ok(self.calibrations(now)),
            Command::ForgetSample { id } => {
                if !self.engine.forget_sample(*id, now) {
                    return Err(Refusal::Unknown(format!("there is no sample {id}")));
                }
                Ok(self.calibrations(now))
            }
            Command::Note { text } => self.note(text, now),
        }
    }

    fn note(&mut self, text: &str, now: Moment) -> Outcome {
        let text = note::text_of(text).ok_or_else(|| {
            Refusal::Impossible(format!("a note is one line of 1 to {} bytes", note::TEXT_MAX))
        })?;
        self.notes.push((text.clone(), now));
        Ok(Answer::Noted(Noted { noted: text }))
    }

    /// What was noted since the last call, for the history.
    pub fn take_notes(&mut self) -> Vec<(String, Moment)> {
        std::mem::take(&mut self.notes)
    }

    fn give_up_ap(&mut self, ap: &Id, now: Moment) -> Outcome {
        if self.engine.give_up_ap(ap, now) {
            return Ok(Answer::GivenUp { given_up: ap.clone() });
        }
        let view = self.engine.view(now);
        if view.access_points.iter().any(|known| known.id == *ap) {
            return Err(Refusal::Impossible(format!(
                "{ap} reports; only what does not report is waited for"
            )));
        }
        Err(Refusal::unknown_id("access point", ap, view.access_points.iter().map(|known| &known.id)))
    }

    fn calibrate(&mut self, device: &Id, room: &Id, now: Moment) -> Outcome {
        let taken = self.clock.rfc3339(now);
        let device = self.engine.calibrate(device, room, taken, now).map_err(|error| {
            let is_unknown =
                matches!(error, CalibrateError::UnknownDevice { .. } | CalibrateError::UnknownRoom { .. });
            let text = error.to_string();
            if is_unknown { Refusal::Unknown(text) } else { Refusal::Impossible(text) }
        })?;
        let begun = self.engine.calibrations().into_iter().find(|view| view.device == device);
        let begun = begun.ok_or_else(|| Refusal::Impossible("it ended at once".to_owned()))?;
        Ok(Answer::Calibration(Calibration::of(begun, now)))
    }

    fn calibrations(&self, now: Moment) -> Answer {
        Answer::Calibrations(Calibrations::of(&self.engine, now))
    }

    /// Explains a person or a device.
    pub fn explain(&self, id: &Id, now: Moment) -> Result<Explanation, Refusal> {
        self.engine.explain(id, now).ok_or_else(|| {
            let view = self.engine.view(now);
            let people = view.people.iter().map(|person| &person.id);
            let known = people.chain(view.devices.iter().map(|device| &device.id));
            Refusal::unknown_id("person or device", id, known)
        })
    }

    /// When to give [`Given::Timeout`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.engine.poll_timeout().map(|(at, _)| at)
    }

    /// The next thing to do; drain fully after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.engine.poll_effect()
    }

    /// To look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn write_down(&mut self, given: &Given<'_>, now: Moment) {
        if let Some(tape) = &mut self.tape {
            tape.push_back(line::write(given, now));
        }
    }
}
