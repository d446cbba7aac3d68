// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/peer_server.h"

#include <algorithm>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <charconv>

#include "http/peer_loop.h"
#include "util/error.h"
#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kAcceptPause{100};

tcp::endpoint endpoint_of(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  uint16_t port = 0;
  const std::string digits = colon == std::string::npos ? "" : text.substr(colon + 1);
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, port);
  const bool numeric = parsed.ec == std::errc() && parsed.ptr == end;
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error || !numeric)
    throw util::Error("'" + text + "' is not an address like 10.0.0.3:7946 or [fd00::3]:7946");
  return {address, port};
}

/// The caps of each of the loops.
PeerServerOptions share_of(PeerServerOptions options) {
  options.threads = std::max(options.threads, 1U);
  const auto divide = [&](unsigned& cap) { cap = (cap + options.threads - 1) / options.threads; };
  divide(options.max_connections);
  divide(options.max_handshakes);
  return options;
}

}  // namespace

struct PeerServer::State {
  struct Listener {
    tcp::acceptor acceptor;
    asio::steady_timer pause;
  };
  struct Identity {
    std::shared_ptr<const TlsContext> context;
    std::string ca_pem;
  };

  State(PeerServerOptions chosen, const TlsMaterial& material, Handler handle)
      : options(share_of(std::move(chosen))),
        handler(std::move(handle)),
        identity(Identity{std::make_shared<const TlsContext>(material), material.ca_pem}) {
    shared.wake = [this](const BulkTurns::Connection& one) { loops[one.loop]->take_turn(one.id); };
    for (unsigned i = 0; i < options.threads; ++i)
      loops.push_back(std::make_unique<PeerLoop>(i, options, handler, shared));
    if (options.addresses.empty()) throw util::Error("no address to listen on");
    for (const auto& address : options.addresses) listen(address);
    port = listeners.front()->acceptor.local_endpoint().port();
    for (const auto& listener : listeners) accept(*listener);
    for (const auto& loop : loops) loop->start();
  }
  ~State() {
    asio::post(loops.front()->context(), [this] {
      for (const auto& listener : listeners) {
        error_code error;
        listener->acceptor.close(error);
        listener->pause.cancel();
      }
    });
    for (const auto& loop : loops) loop->drain();
    // The first loop accepts for all: it ends first.
    for (const auto& loop : loops) loop->join();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void listen(const std::string& address) {
    const auto endpoint = endpoint_of(address);
    auto& context = loops.front()->context();
    auto listener =
        std::make_unique<Listener>(Listener{tcp::acceptor(context), asio::steady_timer(context)});
    try {
      tcp::acceptor& acceptor = listener->acceptor;
      acceptor.open(endpoint.protocol());
      acceptor.set_option(asio::socket_base::reuse_address(true));
      if (endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true));
      acceptor.bind(endpoint);
      acceptor.listen();
    } catch (const std::exception& error) {
      throw util::Error("cannot listen on " + address + ": " + error.what());
    }
    listeners.push_back(std::move(listener));
  }

  void accept(Listener& listener) {
    PeerLoop& loop = **std::min_element(loops.begin(), loops.end(),
                                        [](auto& a, auto& b) { return a->load() < b->load(); });
    listener.acceptor.async_accept(loop.context(),
                                   [this, &listener, &loop](error_code error, tcp::socket socket) {
                                     if (!listener.acceptor.is_open()) return;
                                     if (error) return accept_later(listener, error);
                                     loop.adopt(std::move(socket), identity.lock()->context);
                                     accept(listener);
                                   });
  }

  /// Out of descriptors, most likely: asking again at once would only burn the thread.
  void accept_later(Listener& listener, error_code why) {
    util::log::warning("http: cannot accept: {}", why.message());
    listener.pause.expires_after(kAcceptPause);
    listener.pause.async_wait([this, &listener](error_code error) {
      if (!error) accept(listener);
    });
  }

  const PeerServerOptions options;
  const Handler handler;
  PeerLoop::Shared shared;
  util::Sync<Identity> identity;
  std::vector<std::unique_ptr<PeerLoop>> loops;
  std::vector<std::unique_ptr<Listener>> listeners;
  uint16_t port = 0;
};

PeerServer::PeerServer(PeerServerOptions options, const TlsMaterial& material, Handler handler)
    : state_(std::make_unique<State>(std::move(options), material, std::move(handler))) {}
PeerServer::~PeerServer() = default;

void PeerServer::set_tls(const TlsMaterial& material) {
  State::Identity made{std::make_shared<const TlsContext>(material), material.ca_pem};
  auto locked = state_->identity.lock();
  const bool others_trusted = locked->ca_pem != made.ca_pem;
  *locked = std::move(made);
  locked.unlock();
  if (others_trusted)
    for (const auto& loop : state_->loops) loop->retire_all();
}

uint16_t PeerServer::port() const {
  return state_->port;
}

PeerServer::Counts PeerServer::counts() const {
  const auto& shared = state_->shared;
  return {shared.accepted, shared.failed_handshakes, shared.open};
}

}  // namespace swarmfs::http
