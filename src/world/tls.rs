//! One crypto provider for the whole program: ring, for every client that speaks TLS.

/// Makes ring the process's provider. Whoever comes second changes nothing.
pub fn install_provider() {
    // An error says that a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
