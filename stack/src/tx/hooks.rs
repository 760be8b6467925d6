//! Packets of our own where hooks see them: a longer way, which changed destinations may lead elsewhere.

use super::{Output, Turn, is_group};
use crate::frame::Frame;
use crate::link::neighbor::Demand;
use crate::stack::{IfaceId, Reply, Stack};
use crate::wire::ip;

impl<'a> Stack<'a> {
    /// A packet passes LocalOut, then goes as it says now.
    #[cold]
    pub(super) fn output_hooked(
        &mut self,
        polled: IfaceId,
        mut frame: Frame<'a>,
        by: Option<IfaceId>,
        demand: Demand,
    ) -> Output<'a> {
        let Some(changed) = self.hook_out(&mut frame) else { return Output::Done };
        let to_group = ip::addresses(&frame).is_some_and(|(_, dst)| is_group(dst));
        let by = by.filter(|_| to_group || !changed);
        match self.output(polled, frame, by, demand) {
            // It must not pass again.
            Output::NoFrame(frame) => {
                self.queue_reply(polled, Reply::Hooked(frame));
                Output::Done
            }
            other => other,
        }
    }

    /// The turn of a packet of ours that has passed LocalOut.
    pub(super) fn turn_of_hooked(&mut self, id: IfaceId, frame: Frame<'a>) -> Turn<'a> {
        match self.output(id, frame, None, Demand::Reply) {
            Output::Send(frame) => Turn::Send(frame),
            Output::Done => Turn::Done,
            Output::NoFrame(frame) => self.back_in_line(id, Reply::Hooked(frame)),
        }
    }

    /// The turn of a segment, without a link header, that was to leave by `id`.
    #[cfg(feature = "tcp")]
    #[cold]
    pub(crate) fn turn_of_segment(&mut self, id: IfaceId, frame: Frame<'a>) -> Turn<'a> {
        match self.output_hooked(id, frame, Some(id), Demand::Socket) {
            Output::Send(frame) => Turn::Send(frame),
            Output::Done | Output::NoFrame(_) => Turn::Done,
        }
    }
}
