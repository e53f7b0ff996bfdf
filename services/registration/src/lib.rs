//! Parties, Devices and who is the Responsible Supplier of a Device at a time.
