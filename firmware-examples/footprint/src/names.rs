//! What a program has besides its echo: an address from DHCPv4, and a name that is looked up.

#[cfg(feature = "dns")]
use core::hint::black_box;
#[cfg(feature = "dns")]
use core::net::IpAddr;
#[cfg(feature = "dhcpv4")]
use ringtap::dhcp::v4::{DhcpClient, DhcpOptions};
#[cfg(feature = "dns")]
use ringtap::dns::{QueryId, RecordKind, Resolver};
use ringtap::stack::{IfaceId, Stack};
use ringtap::time::Instant;

/// UDP sockets of these.
pub const SOCKETS: usize = cfg!(feature = "dhcpv4") as usize + 2 * cfg!(feature = "dns") as usize;

/// The lease and the query.
pub struct Names {
    #[cfg(feature = "dhcpv4")]
    lease: Option<DhcpClient>,
    #[cfg(feature = "dns")]
    resolver: Resolver,
    #[cfg(feature = "dns")]
    query: Option<QueryId>,
}

impl Names {
    /// Begins.
    pub fn start(stack: &mut Stack<'static>, iface: IfaceId) -> Self {
        let _ = (&stack, iface);
        Self {
            #[cfg(feature = "dhcpv4")]
            lease: DhcpClient::start(stack, Instant::ZERO, iface, &DhcpOptions::default()).ok(),
            #[cfg(feature = "dns")]
            resolver: {
                let mut resolver = Resolver::new(stack);
                resolver.set_servers(&[black_box(IpAddr::from([10, 7, 0, 1]))]);
                resolver
            },
            #[cfg(feature = "dns")]
            query: None,
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, stack: &mut Stack<'static>, now: Instant) {
        #[cfg(feature = "dhcpv4")]
        if let Some(lease) = &mut self.lease {
            while lease.poll(stack, now).is_some() {}
        }
        #[cfg(feature = "dns")]
        {
            self.resolver.poll(stack, now);
            match self.query {
                None => self.query = self.resolver.query(now, black_box("host.example"), RecordKind::A).ok(),
                Some(query) => {
                    if let Some(found) = self.resolver.take(query) {
                        let _ = black_box(found);
                        self.query = None;
                    }
                }
            }
        }
        let _ = (stack, now);
    }
}
