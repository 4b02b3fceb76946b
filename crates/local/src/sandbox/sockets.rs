//! Sockets in a network that the server is not in.
//!
//! A jail with a network of its own has a loopback that nobody else sees, so its keeper makes the
//! sockets and hands them over (unix(7), `SCM_RIGHTS`): first a listener, then one more for each
//! byte that it is sent. The server's half waits; the keeper's, below the line, may neither allocate,
//! lock nor panic.
#![allow(unsafe_code, reason = "descriptors are handed over by messages that only libc can build")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::{Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
};

/// Where a jail's sockets come from. Its end is the keeper's sign that nobody wants more.
#[derive(Debug)]
pub(super) struct Sockets(Mutex<OwnedFd>);

impl Sockets {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(Mutex::new(socket))
    }

    /// The first that comes: a listener. Waits for the keeper.
    ///
    /// # Errors
    /// `UnexpectedEof` when the keeper has ended first.
    pub(super) fn listener(&self) -> io::Result<std::net::TcpListener> {
        Ok(receive(&self.0.lock().unwrap_or_else(PoisonError::into_inner))?.into())
    }

    /// A socket that is neither bound nor connected, for one connection. Waits for the keeper.
    ///
    /// # Errors
    /// `UnexpectedEof` or `BrokenPipe` when the keeper has ended.
    pub(super) fn another(&self) -> io::Result<OwnedFd> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nix::unistd::write(&*socket, &[0])?;
        receive(&socket)
    }
}

/// The server's end and the keeper's.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    Ok((ours.into(), theirs.into()))
}

/// Room for a message with one descriptor, aligned as the kernel wants it.
#[repr(C)]
union Room {
    header: libc::cmsghdr,
    bytes: [u8; 64],
}

/// Takes one descriptor.
fn receive(socket: &OwnedFd) -> io::Result<OwnedFd> {
    let mut byte = [0u8; 1];
    let mut room = Room { bytes: [0; 64] };
    loop {
        // SAFETY: the message points to `byte` and `room`, which live through the calls; the control
        // message is read where and as the kernel has written it. A descriptor in it is nobody else's.
        unsafe {
            let mut piece = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
            let mut message = message(&raw mut piece, &raw mut room, size_of::<Room>());
            match libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) {
                1 => {}
                -1 if Errno::last() == Errno::EINTR => continue,
                -1 => return Err(io::Error::last_os_error()),
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            let control = libc::CMSG_FIRSTHDR(&raw const message);
            if control.is_null() || (*control).cmsg_type != libc::SCM_RIGHTS {
                // The keeper sends a byte alone when the kernel gave it no socket.
                return Err(io::Error::other("the environment has no socket to give"));
            }
            let mut descriptor: RawFd = -1;
            ptr::copy_nonoverlapping(
                libc::CMSG_DATA(control),
                (&raw mut descriptor).cast(),
                size_of::<RawFd>(),
            );
            return Ok(OwnedFd::from_raw_fd(descriptor));
        }
    }
}

unsafe fn message(piece: *mut libc::iovec, room: *mut Room, size: usize) -> libc::msghdr {
    // SAFETY: a message header of zeros is an empty one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (piece, 1);
    (message.msg_control, message.msg_controllen) = (room.cast(), size as _);
    message
}

// ---------------------------------------------------------------------------------------------
// Run by the keeper: async-signal-safe calls only.

/// Brings up the loopback and sends a listener on this port.
///
/// # Safety
/// Only in a keeper with a network of its own.
pub(super) unsafe fn open(socket: RawFd, port: u16) -> Result<(), c_int> {
    // SAFETY: every pointer is to a local value that lives through its call.
    unsafe {
        let listener = stream(0)?;
        let mut interface: libc::ifreq = std::mem::zeroed();
        for (to, from) in interface.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as libc::c_char;
        }
        interface.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(listener, libc::SIOCSIFFLAGS, &raw const interface))?;
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: port.to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
            sin_zero: [0; 8],
        };
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        check(libc::bind(listener, (&raw const address).cast(), length))?;
        check(libc::listen(listener, 128))?;
        send(socket, listener);
        libc::close(listener);
        Ok(())
    }
}

/// Sends a socket for each byte that has come. False when nobody wants more.
///
/// # Safety
/// Only in a keeper with a network of its own.
pub(super) unsafe fn serve(socket: RawFd) -> bool {
    let mut byte = 0u8;
    // SAFETY: reads one byte into a local one; the socket that is closed was just made.
    unsafe {
        if libc::read(socket, (&raw mut byte).cast(), 1) != 1 {
            return false;
        }
        let made = stream(libc::SOCK_NONBLOCK).unwrap_or(-1);
        send(socket, made);
        libc::close(made);
    }
    true
}

unsafe fn stream(flags: c_int) -> Result<c_int, c_int> {
    // SAFETY: takes numbers only.
    let made = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0) };
    check(made).map(|()| made)
}

/// Sends a descriptor, or a byte alone where there is none.
unsafe fn send(socket: RawFd, descriptor: RawFd) {
    let mut byte = 0u8;
    let mut room = Room { bytes: [0; 64] };
    // SAFETY: the message points to `byte` and `room`, which live through the call and have room for
    // one control message with one descriptor.
    unsafe {
        let mut piece = libc::iovec { iov_base: (&raw mut byte).cast::<c_void>(), iov_len: 1 };
        let size = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as usize;
        let mut message = message(&raw mut piece, &raw mut room, if descriptor < 0 { 0 } else { size });
        if descriptor >= 0 {
            room.header.cmsg_level = libc::SOL_SOCKET;
            room.header.cmsg_type = libc::SCM_RIGHTS;
            room.header.cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
            let data = libc::CMSG_DATA(&raw const room.header);
            ptr::copy_nonoverlapping((&raw const descriptor).cast(), data, size_of::<RawFd>());
        }
        message.msg_flags = 0;
        // The server may be gone: that must not be a signal.
        libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL);
    }
}

fn check(result: c_int) -> Result<(), c_int> {
    if result < 0 { Err(Errno::last_raw()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_for_each_byte_until_nobody_wants_more() {
        let (ours, theirs) = pair().expect("a pair");
        let keeper = std::thread::spawn(move || {
            let mut served = 0;
            // SAFETY: this process has a network, which is all that is used of it.
            while unsafe { serve(theirs.as_raw_fd()) } {
                served += 1;
            }
            served
        });
        let sockets = Sockets::new(ours);
        for _ in 0..3 {
            let socket = std::net::TcpStream::from(sockets.another().expect("a socket"));
            assert!(socket.local_addr().is_ok() && socket.peer_addr().is_err(), "not connected");
        }
        drop(sockets);
        assert_eq!(keeper.join().expect("joined"), 3);
        let (ours, theirs) = pair().expect("a pair");
        drop(theirs);
        assert!(Sockets::new(ours).listener().is_err(), "a keeper that is gone gives none");
    }
}
