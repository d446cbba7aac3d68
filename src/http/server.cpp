// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <utility>
// Boost 1.74 needs <utility> before it.
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <condition_variable>
#include <list>
#include <thread>

#include "http/url.h"
#include "util/error.h"
#include "util/log.h"
#include "util/sync.h"

namespace swarmfs::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Protocol = asio::generic::stream_protocol;
using Socket = Protocol::socket;
using Stream = beast::basic_stream<Protocol>;
using Parser = beast::http::request_parser<beast::http::string_body>;
using Reply = beast::http::response<beast::http::string_body>;

namespace {

std::optional<ServerRequest> decode(const Parser::value_type& message) {
  auto target = Target::parse({message.target().data(), message.target().size()});
  if (!target) return std::nullopt;
  return ServerRequest{std::string(message.method_string()), std::move(target->path),
                       std::move(target->query), message.body()};
}

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

/// The listener and its connections. Each connection has an io_context of its own, run by its
/// thread, so that beast's timeouts work without sharing anything.
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
      boost::system::error_code error;
      auto connection = std::make_unique<asio::io_context>(1);
      Socket socket(*connection);
      acceptor.accept(socket, error);
      auto locked = live.lock();
      if (locked->stopping) return;
      if (error) continue;
      ++locked->count;
      const auto place = locked->sockets.insert(locked->sockets.end(), socket.native_handle());
      std::thread([this, place, own = std::move(connection), moved = std::move(socket)]() mutable {
        serve(*own, std::move(moved));
        auto ended = live.lock();
        ended->sockets.erase(place);
        --ended->count;
        changed.notify_all();
      }).detach();
    }
  }

  void serve(asio::io_context& own, Socket socket) {
    Stream stream(std::move(socket));
    beast::flat_buffer buffer;
    while (serve_one(own, stream, buffer)) {
    }
  }

  /// Waits for one asynchronous step, whose timeout is the stream's.
  static bool step(asio::io_context& own, const boost::system::error_code& error) {
    own.restart();
    own.run();
    return !error;
  }

  bool serve_one(asio::io_context& own, Stream& stream, beast::flat_buffer& buffer) {
    Parser parser;
    parser.header_limit(16 * 1024);
    parser.body_limit(options.max_body);
    boost::system::error_code error;
    const auto note = [&](boost::system::error_code result, size_t) { error = result; };
    stream.expires_after(options.idle_timeout);
    beast::http::async_read_header(stream, buffer, parser, note);
    if (!step(own, error)) return false;
    stream.expires_after(options.read_timeout);
    beast::http::async_read(stream, buffer, parser, note);
    if (!step(own, error)) return false;
    Reply reply = answer(parser.get());
    reply.keep_alive(parser.get().keep_alive());
    reply.prepare_payload();
    if (parser.get().method() == beast::http::verb::head) reply.body().clear();
    stream.expires_after(options.read_timeout);
    beast::http::async_write(stream, reply, note);
    return step(own, error) && reply.keep_alive();
  }

  Reply answer(const Parser::value_type& message) {
    Reply reply;
    reply.version(message.version());
    try {
      const auto request = decode(message);
      const ServerResponse made =
          request ? handler(*request) : ServerResponse{400, "text/plain", "not a path\n"};
      reply.result(static_cast<unsigned>(made.status));
      reply.set(beast::http::field::content_type, made.content_type);
      reply.body() = made.body;
    } catch (const std::exception& error) {
      util::log::error("http: {} {} fails: {}", std::string(message.method_string()),
                       std::string(message.target()), error.what());
      reply.result(beast::http::status::internal_server_error);
      reply.body() = "internal error\n";
    }
    return reply;
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
