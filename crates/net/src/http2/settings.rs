//! What the client asks for: its settings, and leave to send (RFC 9113, sections 6.5 and 6.9).

use super::connection::{Connection, DEFAULT_FRAME, Fatal};
use super::frame::{self, Code, flag, kind, setting};
use super::incoming::{fatal, protocol};

const MAX_WINDOW: i64 = (1 << 31) - 1;

impl Connection {
    pub(super) fn take_settings(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return fatal(Code::FrameSize, "half a setting");
        }
        let mut window = None;
        for &[a, b, c, d, e, f] in settings {
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                setting::INITIAL_WINDOW_SIZE => {
                    if i64::from(value) > MAX_WINDOW {
                        return fatal(Code::FlowControl, "a window too large");
                    }
                    window = Some(i64::from(value));
                }
                setting::MAX_FRAME_SIZE => {
                    if !(DEFAULT_FRAME..1 << 24).contains(&(value as usize)) {
                        return protocol("a frame size that is not allowed");
                    }
                    self.peer_frame = value as usize;
                }
                _ => {}
            }
        }
        if let Some(window) = window {
            self.set_peer_window(window)?;
        }
        frame::put_head(&mut self.out, 0, kind::SETTINGS, flag::ACK, 0);
        Ok(())
    }

    /// What the client lets each stream send from the start; the difference is for those that have begun (section 6.9.2).
    fn set_peer_window(&mut self, window: i64) -> Result<(), Fatal> {
        let more = window - self.peer_window;
        self.peer_window = window;
        if more == 0 {
            return Ok(());
        }
        for stream in &mut self.streams {
            stream.send_window += more;
            if stream.send_window > MAX_WINDOW {
                return fatal(Code::FlowControl, "a window too large");
            }
        }
        if more > 0 {
            self.send_rests();
        }
        Ok(())
    }

    pub(super) fn take_window_update(&mut self, id: u32, bytes: u32) -> Result<(), Fatal> {
        if id > self.last_stream {
            return protocol("a window for a stream that has not begun");
        }
        let at = self.find(id);
        let window = match at {
            _ if id == 0 => &mut self.send_window,
            Some(at) => &mut self.streams[at].send_window,
            None => return Ok(()),
        };
        let before = *window;
        *window += i64::from(bytes);
        let (code, why) = match *window {
            _ if bytes == 0 => (Code::Protocol, "leave to send nothing"),
            window if window > MAX_WINDOW => (Code::FlowControl, "a window too large"),
            _ => {
                // Only what waited for this very leave goes on: looking through all for each byte granted would be dear.
                match at {
                    Some(at) => self.send_rest(at),
                    None if before <= 0 => self.send_rests(),
                    None => {}
                }
                return Ok(());
            }
        };
        if id == 0 {
            return fatal(code, why);
        }
        self.reset(id, code);
        Ok(())
    }
}
