//! What a call can answer instead of doing what it was asked: one small enum per operation.
//!
//! Packets never produce these; they produce a counted [`DropReason`](crate::stats::DropReason).

use core::fmt;

macro_rules! errors {
    ($($(#[$outer:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),* })
            }
        }

        impl core::error::Error for $name {}
    )*};
}

errors! {
    /// A handle whose socket is gone: closed, or its slot in use by another.
    pub enum Stale {
        /// The only case.
        Handle = "the handle's socket is closed",
    }

    /// A table that has no room left.
    pub enum Full {
        /// The only case.
        Table = "no room left in the table",
    }

    /// Why an address cannot be added to an interface.
    pub enum AddressError {
        /// Unspecified, loopback, group, broadcast, or the network's own address.
        Invalid = "not an address that a host can have",
        /// The stack has it already.
        Duplicate = "the address is configured already",
        /// IPv6 needs packets of 1,280 octets, which the device or its frames do not hold.
        SmallMtu = "IPv6 needs an MTU of 1280 octets",
        /// No room for another address.
        Full = "no room for another address",
        /// No such interface.
        NoInterface = "no such interface",
    }

    /// Why a tap cannot be added.
    pub enum TapError {
        /// There are as many taps as can be.
        Full = "no room for another tap",
        /// Its memory holds no frame worth the name.
        TooSmall = "a tap needs 256 octets of memory at least",
        /// No such interface.
        NoInterface = "no such interface",
    }

    /// Why a group cannot be joined or left.
    pub enum GroupError {
        /// Not a multicast address.
        NotAGroup = "not a multicast group",
        /// The interface is in as many groups, or its filters name as many sources, as can be.
        Full = "no room for another group or source",
        /// A source that is no host's address of the group's family.
        BadSource = "not a source that a group can have",
        /// The socket was closed.
        Stale = "the socket was closed",
        /// The interface is not in this group.
        NotJoined = "the group was not joined",
        /// No such interface.
        NoInterface = "no such interface",
    }

    /// Why a route cannot be added.
    pub enum RouteError {
        /// The gateway is of another family than the prefix, or no unicast address.
        BadGateway = "the gateway cannot serve this prefix",
        /// No room for another route.
        Full = "no room for another route",
        /// No such interface.
        NoInterface = "no such interface",
        /// There is such a route already.
        Duplicate = "the route exists already",
        /// No such route to remove.
        NotFound = "no such route",
    }

    /// Why a socket cannot be bound, or a listener opened.
    pub enum BindError {
        /// Another socket has this address and port, or one that overlaps it.
        InUse = "the address is in use",
        /// The local address is not one of ours.
        NotOurAddress = "not an address of this stack",
        /// All ephemeral ports are taken.
        NoPort = "no ephemeral port left",
        /// No room for another socket.
        Full = "no room for another socket",
        /// No buffer of a fitting size.
        NoBuffer = "no buffer left",
        /// A value that cannot be, such as an empty backlog.
        Invalid = "invalid argument",
    }

    /// Why a connection cannot be opened.
    pub enum ConnectError {
        /// The remote address is a group, broadcast or unspecified address, or its port is 0.
        InvalidRemote = "not an address one can connect to",
        /// The local address is not one of ours, or of the other family.
        NotOurAddress = "not an address of this stack",
        /// There is no route to the remote address.
        NoRoute = "no route to the host",
        /// This connection exists already, or is still in TIME-WAIT.
        InUse = "the address is in use",
        /// All ephemeral ports are taken.
        NoPort = "no ephemeral port left",
        /// No room for another connection.
        Full = "no room for another connection",
        /// No buffers of a fitting size.
        NoBuffer = "no buffer left",
        /// A buffer size that a connection cannot work with.
        Invalid = "invalid option",
    }

    /// Why a connection ended, other than by both sides closing.
    pub enum TcpError {
        /// Nothing to read, or no room to write, at this moment: try again on the next event.
        WouldBlock = "operation would block",
        /// The peer refused the connection.
        Refused = "connection refused",
        /// The peer reset the connection.
        Reset = "connection reset by peer",
        /// The peer did not answer within the time-out.
        TimedOut = "connection timed out",
        /// The connection was aborted at this end.
        Aborted = "connection aborted",
        /// This direction was shut down here, or the connection is closed.
        Closed = "the connection is closed",
        /// The connection's local address was taken away, or its interface removed.
        AddressGone = "the local address is gone",
        /// The handle's socket is gone.
        Stale = "the handle's socket is closed",
    }

    /// Why no connection is accepted.
    pub enum AcceptError {
        /// Nobody is waiting: try again on the next event.
        WouldBlock = "operation would block",
        /// The handle's listener is gone.
        Stale = "the handle's socket is closed",
    }

    /// Why a datagram is not sent.
    pub enum SendError {
        /// The socket's transmit queue, or the pool, is full: try again on the next event.
        WouldBlock = "operation would block",
        /// Longer than the path allows.
        TooLong = "the datagram is too long",
        /// There is no route to the destination.
        NoRoute = "no route to the host",
        /// The link that leads there is down.
        LinkDown = "the link is down",
        /// The destination is unspecified, its port 0, or it is missing on an unconnected socket.
        InvalidRemote = "not an address one can send to",
        /// The source address is not one of ours.
        NotOurAddress = "not an address of this stack",
        /// Broadcast without permission.
        BroadcastNotAllowed = "broadcast is not allowed on this socket",
        /// An earlier datagram was answered by port unreachable (connected sockets).
        Refused = "connection refused",
        /// An earlier datagram was answered by host or network unreachable (connected sockets).
        Unreachable = "destination unreachable",
        /// Bytes that are no valid packet (raw sockets), or a time to live of 0.
        Malformed = "not a valid packet",
        /// The handle's socket is gone.
        Stale = "the handle's socket is closed",
    }

    /// Why a name has no address.
    pub enum DnsError {
        /// Not a name: an empty or long label, or letters that no host's name has.
        Invalid = "not a host name",
        /// There is no such name.
        NotFound = "no such name",
        /// The name has no address of this kind.
        NoData = "the name has no address of this kind",
        /// Every server said that it cannot help, or could not be reached.
        ServerFailure = "the name servers cannot help",
        /// No server has answered.
        TimedOut = "no name server has answered",
        /// No name server is known.
        NoServers = "no name server is known",
        /// The answer is longer than a datagram, and could not be had by TCP.
        Truncated = "the answer is too long",
        /// The name is an alias without an end.
        Loop = "the name is an alias without an end",
        /// The name is in `.local`, which multicast DNS is for (RFC 6762 §3).
        Multicast = "names in .local are for multicast DNS",
        /// As many queries as there may be are running.
        Full = "too many queries at a time",
        /// The query's handle is none, or was used up.
        Stale = "the query is over",
    }

    /// Why no datagram is received.
    pub enum RecvError {
        /// Nothing has come: try again on the next event.
        WouldBlock = "operation would block",
        /// An earlier datagram was answered by port unreachable (connected sockets).
        Refused = "connection refused",
        /// An earlier datagram was answered by host or network unreachable (connected sockets).
        Unreachable = "destination unreachable",
        /// The handle's socket is gone.
        Stale = "the handle's socket is closed",
    }
}

macro_rules! kinds {
    ($($name:ident { $($variant:ident => $kind:ident),* $(,)? })*) => {$(
        impl embedded_io::Error for $name {
            fn kind(&self) -> embedded_io::ErrorKind {
                match self { $(Self::$variant => embedded_io::ErrorKind::$kind),* }
            }
        }
    )*};
}

// A blocking call says `WouldBlock` when its time-out is over.
kinds! {
    Stale { Handle => NotConnected }
    BindError {
        InUse => AddrInUse,
        NotOurAddress => AddrNotAvailable,
        NoPort => AddrInUse,
        Full => OutOfMemory,
        NoBuffer => OutOfMemory,
        Invalid => InvalidInput,
    }
    ConnectError {
        InvalidRemote => InvalidInput,
        NotOurAddress => AddrNotAvailable,
        NoRoute => NotFound,
        InUse => AddrInUse,
        NoPort => AddrInUse,
        Full => OutOfMemory,
        NoBuffer => OutOfMemory,
        Invalid => InvalidInput,
    }
    TcpError {
        WouldBlock => TimedOut,
        Refused => ConnectionRefused,
        Reset => ConnectionReset,
        TimedOut => TimedOut,
        Aborted => ConnectionAborted,
        Closed => NotConnected,
        AddressGone => AddrNotAvailable,
        Stale => NotConnected,
    }
    AcceptError { WouldBlock => TimedOut, Stale => NotConnected }
    SendError {
        WouldBlock => TimedOut,
        TooLong => InvalidInput,
        NoRoute => NotFound,
        LinkDown => NotConnected,
        InvalidRemote => InvalidInput,
        NotOurAddress => AddrNotAvailable,
        BroadcastNotAllowed => PermissionDenied,
        Refused => ConnectionRefused,
        Unreachable => NotFound,
        Malformed => InvalidData,
        Stale => NotConnected,
    }
    RecvError {
        WouldBlock => TimedOut,
        Refused => ConnectionRefused,
        Unreachable => NotFound,
        Stale => NotConnected,
    }
}
