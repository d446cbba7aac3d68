// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
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

}  // namespace

/// The listener and its connections.
struct Server::State {
  struct Live {
    size_t count = 0;
    std::list<int> sockets;
    bool stopping = false;
  };

  State(ServerOptions chosen, Handler handle)
      : options(std::move(chosen)), handler(std::move(handle)), acceptor(context) {
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
    thread = std::thread([this] { accept(); });
  }
  ~State() {
    {
      auto locked = live.lock();
      locked->stopping = true;
      for (int socket : locked->sockets) ::shutdown(socket, SHUT_RDWR);
    }
    changed.notify_all();
    ::shutdown(acceptor.native_handle(), SHUT_RDWR);
    thread.join();
    auto locked = live.lock();
    locked.wait(changed, [&] { return locked->count == 0; });
    if (!options.unix_socket.empty()) ::unlink(options.unix_socket.c_str());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void accept() {
    for (;;) {
      {
        auto locked = live.lock();
        locked.wait(changed,
                    [&] { return locked->stopping || locked->count < options.max_connections; });
        if (locked->stopping) return;
      }
      try {
        auto connection = std::make_unique<asio::io_context>(1);
        Socket socket(*connection);
        acceptor.accept(socket);
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
  asio::io_context context;
  asio::basic_socket_acceptor<Protocol> acceptor;
  util::Sync<Live> live;
  std::condition_variable changed;
  std::thread thread;
};

Server::Server(ServerOptions options, Handler handler)
    : state_(std::make_unique<State>(std::move(options), std::move(handler))) {}
Server::~Server() = default;

}  // namespace swarmfs::http
