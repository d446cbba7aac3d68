// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <list>
#include <thread>

#include "http/server_connection.h"
#include "util/error.h"
#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::http {

namespace asio = boost::asio;
using Protocol = ServerConnection::Protocol;
using Socket = ServerConnection::Socket;

namespace {

/// The kernel has no room for another connection now.
constexpr std::chrono::milliseconds kOutOfRoom{50};

void remove_dead_socket(const std::string& path) {
  asio::io_context context;
  asio::local::stream_protocol::socket probe(context);
  boost::system::error_code error;
  probe.connect(asio::local::stream_protocol::endpoint(path), error);
  if (!error) throw util::Error(path + " is in use by another process");
  ::unlink(path.c_str());
}

Protocol::endpoint endpoint_of(const ServerOptions& options) {
  if (!options.unix_socket.empty())
    return asio::local::stream_protocol::endpoint(options.unix_socket);
  const size_t colon = options.tcp_address.rfind(':');
  std::string host = options.tcp_address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  const int port =
      colon == std::string::npos ? 0 : std::atoi(options.tcp_address.c_str() + colon + 1);
  if (error || port < 1 || port > 65535)
    throw util::Error("'" + options.tcp_address + "' is not an address like 127.0.0.1:9753");
  return asio::ip::tcp::endpoint(address, static_cast<uint16_t>(port));
}

int family_of(int listener) {
  int family = 0, listens = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &family, &size) ||
      ::getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || listens == 0)
    throw util::Error("a descriptor that was handed to us is no socket that listens");
  return family;
}

}  // namespace

/// The listener and its connections.
struct Server::State {
  struct Live {
    size_t count = 0;
    std::list<int> sockets;
    bool accepting = true;
    bool stopping = false;
  };

  State(ServerOptions chosen, Handler handle, util::UniqueFd listener)
      : options(std::move(chosen)),
        handler(std::move(handle)),
        handed(listener),
        end(::eventfd(0, EFD_CLOEXEC)),
        acceptor(context) {
    if (!end) throw util::SysError("eventfd");
    if (listener) {
      const Protocol protocol(family_of(listener.get()), 0);
      acceptor.assign(protocol, listener.release());
    } else {
      listen();
    }
    acceptor.non_blocking(true);  // another process may be quicker
    thread = std::thread([this] { accept(); });
  }
  void listen() {
    const auto endpoint = endpoint_of(options);
    if (!options.unix_socket.empty()) remove_dead_socket(options.unix_socket);
    try {
      acceptor.open(endpoint.protocol());
      if (options.unix_socket.empty()) acceptor.set_option(asio::socket_base::reuse_address(true));
      acceptor.bind(endpoint);
      acceptor.listen();
    } catch (const std::exception& error) {
      throw util::Error("cannot listen on " +
                        (options.unix_socket.empty() ? options.tcp_address : options.unix_socket) +
                        ": " + error.what());
    }
    if (!options.unix_socket.empty()) ::chmod(options.unix_socket.c_str(), options.mode);
  }
  ~State() {
    {
      auto locked = live.lock();
      locked->stopping = true;
      for (int socket : locked->sockets) ::shutdown(socket, SHUT_RDWR);
    }
    stop_accepting();
    auto locked = live.lock();
    locked.wait(changed, [&] { return locked->count == 0; });
    if (!handed && !options.unix_socket.empty()) ::unlink(options.unix_socket.c_str());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// No shutdown of the listener: that would be for all who have it.
  void stop_accepting() {
    live.lock()->accepting = false;
    changed.notify_all();
    ::eventfd_write(end.get(), 1);
    if (thread.joinable()) thread.join();
  }

  /// Until somebody connects and there is room for it; false: no more.
  bool wait_for_client() {
    std::array<pollfd, 2> ready{{{acceptor.native_handle(), POLLIN, 0}, {end.get(), POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), -1);
    auto locked = live.lock();
    locked.wait(changed,
                [&] { return !locked->accepting || locked->count < options.max_connections; });
    return locked->accepting;
  }

  void accept() {
    while (wait_for_client()) {
      try {
        auto connection = std::make_unique<asio::io_context>(1);
        Socket socket(*connection);
        boost::system::error_code error;
        acceptor.accept(socket, error);
        if (error == asio::error::would_block) continue;
        if (error) throw boost::system::system_error(error);
        // A body must not wait until its header is acknowledged.
        boost::system::error_code of_tcp_alone;
        socket.set_option(asio::ip::tcp::no_delay(true), of_tcp_alone);
        if (!take(std::move(connection), std::move(socket))) return;
      } catch (const std::exception& error) {  // no descriptors left, mostly
        util::log::debug("http: no connection is accepted: {}", error.what());
        std::this_thread::sleep_for(kOutOfRoom);
      }
    }
  }

  /// False: the server stops.
  bool take(std::unique_ptr<asio::io_context> own, Socket socket) {
    auto locked = live.lock();
    if (locked->stopping) return false;
    ++locked->count;
    const auto place = locked->sockets.insert(locked->sockets.end(), socket.native_handle());
    try {
      std::thread([this, place, own = std::move(own), moved = std::move(socket)]() mutable {
        ServerConnection connection(options, handler, *own, std::move(moved));
        try {
          connection.serve();
        } catch (const std::exception& error) {
          util::log::error("http: a connection breaks off: {}", error.what());
        }
        forget(place);  // before the descriptor is another's
      }).detach();
    } catch (const std::system_error& error) {
      util::log::warning("http: no thread for a connection: {}", error.what());
      locked->sockets.erase(place);
      --locked->count;
    }
    return true;
  }

  void forget(std::list<int>::iterator place) {
    auto ended = live.lock();
    ended->sockets.erase(place);
    --ended->count;
    changed.notify_all();
  }

  const ServerOptions options;
  const Handler handler;
  const bool handed;
  const util::UniqueFd end;  ///< readable: accept no more
  asio::io_context context;
  asio::basic_socket_acceptor<Protocol> acceptor;
  util::Sync<Live> live;
  std::condition_variable changed;
  std::thread thread;
};

Server::Server(ServerOptions options, Handler handler, util::UniqueFd listener)
    : state_(std::make_unique<State>(std::move(options), std::move(handler), std::move(listener))) {
}
Server::~Server() = default;

void Server::hand_on() {
  if (state_->handed) state_->stop_accepting();
}

}  // namespace swarmfs::http
