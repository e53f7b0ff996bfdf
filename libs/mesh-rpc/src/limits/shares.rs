//! How are a server's places shared out?
//!
//! Callers come in classes, and each class has a share of everything that runs out: what one class
//! takes, no other misses. Within a class one caller has a bound well below the share of all, so that
//! it takes several to fill it. The class is known from the certificate alone: a party that is
//! suspended, or that the directory does not know, is a party here.

use mesh_authz::{Identity, InternalRole};

/// Callers that share places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whoever shows no certificate that carries an identity.
    Guests,
    /// Organisations: suppliers, agents, CSPs, gateways.
    Parties,
    /// The services of the mesh, which follow each other's logs and ask for authority.
    Services,
    /// The DCC's own systems and people but for operators: the DSP above all.
    Dcc,
    /// Operators: whoever else is at its limit, they can look, and suspend a party.
    Operators,
}

impl Class {
    pub(crate) const ALL: [Self; 5] = [
        Self::Guests,
        Self::Parties,
        Self::Services,
        Self::Dcc,
        Self::Operators,
    ];

    /// The class of those with this identity, or with none.
    pub(crate) const fn of(identity: Option<Identity>) -> Self {
        use InternalRole as Role;
        match identity {
            None => Self::Guests,
            Some(Identity::Organisation(_)) => Self::Parties,
            Some(Identity::Internal(role)) => match role {
                Role::Registration
                | Role::FlagRegistry
                | Role::Classification
                | Role::CspNotification
                | Role::Reporting => Self::Services,
                Role::Dsp | Role::RegistrationData | Role::Analyst | Role::Auditor => Self::Dcc,
                Role::Operator => Self::Operators,
            },
        }
    }
}

/// How much there is of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// For all callers of a class together.
    pub class: usize,
    /// For one of them. Each connection of a guest counts as a caller.
    pub caller: usize,
}

/// What a class has of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Unary calls that are open: arriving, waiting for their turn, in service, or with an answer
    /// that has not been taken. A further one is shed.
    pub calls: Bound,
    /// Streaming calls that are open. A bound of its own: long streams never starve unary calls.
    pub streams: Bound,
    /// Health checks that are open. Whoever is at its limit of calls is still told.
    pub checks: Bound,
    /// Connections; a further one is closed.
    pub connections: Bound,
    /// Octets of requests that are held until the call is answered.
    pub octets: Bound,
    /// Items of work in service. More of it waits for its turn.
    pub work: Bound,
}

/// What each class has of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Whoever shows no certificate that carries an identity.
    pub guests: Share,
    /// Organisations, whatever the party directory says of them.
    pub parties: Share,
    /// The services of the mesh.
    pub services: Share,
    /// The DCC's own systems and people, but for operators.
    pub dcc: Share,
    /// Operators.
    pub operators: Share,
}

const fn bound(class: usize, caller: usize) -> Bound {
    Bound { class, caller }
}

const MIB: usize = 1024 * 1024;

/// Connections of guests may be so many; when one more comes, one of them goes.
const GUESTS: usize = 128;

impl Default for Shares {
    /// For one of the mesh's services on two cores. All connections together, those in their handshake
    /// included, are fewer than the 1,024 files that a process may have open at least.
    fn default() -> Self {
        Self {
            // So few for each connection that all connections of guests together cannot fill the
            // share. Guests may ask for health alone, which is not counted as work.
            guests: Share {
                calls: bound(GUESTS * 2, 2),
                streams: bound(GUESTS * 2, 2),
                checks: bound(GUESTS * 4, 4),
                connections: bound(GUESTS, 1),
                octets: bound(0, 0),
                work: bound(0, 0),
            },
            // Some hundred organisations share this. Ten of them at their limit leave room for
            // others, and one has at most 64 items in service: as many single writes as a commit
            // takes together, or one batch.
            parties: Share {
                calls: bound(8_192, 768),
                streams: bound(512, 32),
                checks: bound(1_024, 16),
                connections: bound(384, 32),
                octets: bound(256 * MIB, 24 * MIB),
                work: bound(256, 64),
            },
            // One service asks for all parties. What one party can put on it is bounded where the
            // party calls; here there is room for the largest batches of sixteen parties at once.
            services: Share {
                calls: bound(4_096, 2_048),
                streams: bound(128, 32),
                checks: bound(256, 64),
                connections: bound(96, 32),
                octets: bound(256 * MIB, 128 * MIB),
                work: bound(32_768, 16_384),
            },
            // The DSP asks for the whole country, with messages of up to 20 MiB.
            dcc: Share {
                calls: bound(4_096, 3_072),
                streams: bound(512, 256),
                checks: bound(256, 64),
                connections: bound(128, 96),
                octets: bound(768 * MIB, 512 * MIB),
                work: bound(131_072, 65_536),
            },
            // The reserve: all operators show the same certificate, or one like it.
            operators: Share {
                calls: bound(256, 256),
                streams: bound(64, 64),
                checks: bound(64, 64),
                connections: bound(64, 64),
                octets: bound(64 * MIB, 64 * MIB),
                work: bound(8_192, 8_192),
            },
        }
    }
}

impl Shares {
    pub(crate) const fn of(&self, class: Class) -> &Share {
        match class {
            Class::Guests => &self.guests,
            Class::Parties => &self.parties,
            Class::Services => &self.services,
            Class::Dcc => &self.dcc,
            Class::Operators => &self.operators,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the table promises in words, in numbers.
    #[test]
    fn no_caller_fills_the_share_of_its_class_and_no_crowd_of_guests_does() {
        let shares = Shares::default();
        for class in [Class::Parties, Class::Services, Class::Dcc] {
            let share = shares.of(class);
            for bound in [
                share.calls,
                share.streams,
                share.checks,
                share.connections,
                share.octets,
                share.work,
            ] {
                assert!(bound.caller < bound.class, "{class:?}: {bound:?}");
            }
        }
        let parties = shares.parties;
        for bound in [parties.calls, parties.streams, parties.octets] {
            assert!(10 * bound.caller <= bound.class, "{bound:?}");
        }
        let guests = shares.guests;
        for bound in [guests.calls, guests.streams, guests.checks] {
            assert!(guests.connections.class * bound.caller <= bound.class);
        }
        // With 64 in each of the three stages of the handshake.
        let connections = Class::ALL.map(|class| shares.of(class).connections.class);
        assert!(connections.into_iter().sum::<usize>() + 3 * 64 < 1_024);
    }
}
