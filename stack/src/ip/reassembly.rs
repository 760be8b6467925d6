//! IP: reassembly.
