//! A terminal for a program inside, and the user's own while it lasts.
//!
//! Owns pseudo terminals, their sizes and the raw mode. Copies no bytes.
#![allow(unsafe_code, reason = "the size of a terminal has no safe call")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
};

use nix::{
    libc,
    pty::{OpenptyResult, openpty},
    sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
};

/// Both ends of a pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    /// Our end: what is written to it was typed, what is read from it is shown.
    pub outer: OwnedFd,
    /// The program's end.
    pub inner: OwnedFd,
}

impl Terminal {
    /// One that behaves as `like` does, and has its size.
    ///
    /// # Errors
    /// What the system says, when `like` is no terminal for one.
    pub fn like(like: impl AsFd) -> io::Result<Self> {
        let settings = tcgetattr(&like)?;
        let OpenptyResult { master, slave } = openpty(None, &settings)?;
        for end in [&master, &slave] {
            nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        }
        copy_size(&like, &master)?;
        Ok(Self { outer: master, inner: slave })
    }
}

/// Gives a terminal the size of another; who runs in it is told.
///
/// # Errors
/// What the system says, when one is no terminal.
pub fn copy_size(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: the calls fill and read one `winsize`, which lives through both.
    let failed = unsafe {
        libc::ioctl(from, libc::TIOCGWINSZ, &raw mut size) < 0
            || libc::ioctl(to, libc::TIOCSWINSZ, &raw const size) < 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes the terminal that is a command's stdin its own: it leads a session there, and with it a
/// process group of its own.
#[cfg(any(test, not(target_os = "linux")))]
#[allow(clippy::useless_conversion, reason = "the request is a shorter number on macOS")]
pub(super) fn own(command: &mut tokio::process::Command) {
    let take = || {
        nix::unistd::setsid()?;
        // SAFETY: the call takes a number, and no memory.
        if unsafe { libc::ioctl(0, libc::TIOCSCTTY.into(), 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec, two system calls and nothing else.
    unsafe { command.pre_exec(take) };
}

/// A terminal that hands every key through. It is as it was when this is dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Begins.
    ///
    /// # Errors
    /// What the system says, when it is no terminal.
    pub fn begin(terminal: impl AsFd) -> io::Result<Self> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSADRAIN, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to restore.
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::termios::LocalFlags;

    use super::*;

    #[test]
    fn a_terminal_is_raw_for_a_while() {
        let own = openpty(None, None).expect("a terminal");
        let inner = Terminal::like(&own.slave).expect("one like it");
        let echoes = || tcgetattr(&own.slave).expect("asked").local_flags.contains(LocalFlags::ECHO);
        assert!(echoes());
        let raw = RawMode::begin(&own.slave).expect("raw");
        assert!(!echoes());
        drop(raw);
        assert!(echoes());
        let is_like_it = tcgetattr(&inner.inner).expect("asked").local_flags.contains(LocalFlags::ECHO);
        assert!(is_like_it, "it was made before");
    }
}
