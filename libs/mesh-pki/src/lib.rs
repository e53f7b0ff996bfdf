//! A throw-away certificate authority for one machine, in the SMKI organisation and SPIFFE profiles.
