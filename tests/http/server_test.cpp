// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// The server, among clients that mean well, badly, or nothing at all.

#include "http/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "support/loopback.h"
#include "support/temporary_directory.h"

namespace swarmfs::http {
namespace {

using namespace std::chrono_literals;

/// A port that nobody listens on a moment later.
std::string free_address() {
  return "127.0.0.1:" + std::to_string(support::LoopbackListener(1).port());
}

/// A plain socket to the server. Waits at most half a minute for anything.
class RawClient {
 public:
  explicit RawClient(const std::string& address)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to))
      throw util::SysError("connect");
  }
  /// Its own.
  [[nodiscard]] std::string address() const {
    sockaddr_in own{};
    socklen_t size = sizeof own;
    if (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&own), &size)) return "";
    return "127.0.0.1:" + std::to_string(ntohs(own.sin_port));
  }
  bool say(const std::string& text) {
    return ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  /// All until `end` came or the connection ended; how that was is in `ended`.
  std::string hear(const std::string& end = "") {
    std::string heard;
    char bytes[16 * 1024];
    for (;;) {
      if (!end.empty() && heard.find(end) != heard.npos) return heard;
      pollfd wait{socket_.get(), POLLIN, 0};
      if (::poll(&wait, 1, 30'000) != 1) return ended = "never", heard;
      const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (got == 0) return ended = "FIN", heard;
      if (got < 0) return ended = "RST", heard;
      heard.append(bytes, static_cast<size_t>(got));
    }
  }
  std::string ended;

 private:
  util::UniqueFd socket_;
};

class ServerTest : public testing::Test {
 protected:
  void serve(Server::Handler handler, ServerOptions options = {}) {
    options.tcp_address = address_;
    server_ = std::make_unique<Server>(options, std::move(handler));
  }
  void serve_anything(ServerOptions options = {}) {
    serve(
        [this](const ServerRequest&) {
          return ++handled_, ServerResponse{200, "t", "ok"};
        },
        options);
  }
  /// The first line of the answer; the connection must have ended politely after it.
  std::string refusal_of(const std::string& request) {
    RawClient client(address_);
    client.say(request);
    const auto heard = client.hear();
    EXPECT_EQ(client.ended, "FIN") << request.substr(0, 200);
    return heard.substr(0, heard.find('\r'));
  }

  const std::string address_ = free_address();
  std::atomic<int> handled_{0};
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, gives_all_headers_and_answers_with_more) {
  serve([](const ServerRequest& asked) {
    ServerResponse made{200, "t", joined_header(asked.headers, "accept")};
    made.headers = {{"ETag", "\"x\""}, {"WWW-Authenticate", "a"}, {"WWW-Authenticate", "b"}};
    return made;
  });
  RawClient client(address_);
  client.say(
      "GET / HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\nAccept: c/d\r\nConnection: close\r\n\r\n");
  const auto heard = client.hear();
  EXPECT_NE(heard.find("\r\n\r\na/b, c/d"), heard.npos) << heard;
  EXPECT_NE(heard.find("WWW-Authenticate: a\r\nWWW-Authenticate: b"), heard.npos) << heard;
  EXPECT_EQ(client.ended, "FIN");
}

TEST_F(ServerTest, knows_who_asks) {
  serve([](const ServerRequest& request) { return ServerResponse{200, "x", request.client}; });
  RawClient client(address_);
  ASSERT_TRUE(client.say("GET / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"));
  const auto heard = client.hear();
  EXPECT_EQ(heard.substr(heard.find("\r\n\r\n") + 4), client.address());
}

TEST_F(ServerTest, leaves_out_headers_that_would_end_early_or_are_too_long) {
  serve([](const ServerRequest&) {
    ServerResponse made{200, "t", "ok"};
    made.headers = {{"A", "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"},
                    {"B", std::string("x\0y", 3)},
                    {"C", std::string(70'000, 'x')},
                    {"D", "good"}};
    return made;
  });
  for (int round = 0; round < 2; ++round) {
    RawClient client(address_);
    client.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const auto heard = client.hear();
    EXPECT_EQ(heard.find("HTTP/1.1 200 OK", 1), heard.npos);
    EXPECT_EQ(heard.find("\r\nA:"), heard.npos);
    EXPECT_EQ(heard.find("\r\nB:"), heard.npos);
    EXPECT_EQ(heard.find("\r\nC:"), heard.npos);
    EXPECT_NE(heard.find("\r\nD: good\r\n"), heard.npos);
    EXPECT_TRUE(heard.ends_with("\r\n\r\nok"));
  }
}

TEST_F(ServerTest, streams_a_body_of_a_stated_length_and_goes_on) {
  serve([](const ServerRequest&) {
    ServerResponse made{206, "t"};
    made.length = 3'000'000;
    made.stream = [](BodyWriter& out) {
      const std::string piece(1'000'000, 'p');
      return out.write(util::as_bytes(piece)) && out.write(util::as_bytes(piece)) &&
             out.write(util::as_bytes(piece.substr(1) + "E"));
    };
    return made;
  });
  RawClient client(address_);
  for (int i = 0; i < 2; ++i) {
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto heard = client.hear("E");
    EXPECT_NE(heard.find("Content-Length: 3000000"), heard.npos);
    EXPECT_EQ(heard.size() - heard.find("\r\n\r\n") - 4, 3'000'000u);
  }
}

TEST_F(ServerTest, a_head_is_told_the_length_and_given_nothing) {
  serve([](const ServerRequest&) {
    ServerResponse made{200, "t"};
    made.length = 1'000'000;
    made.stream = [](BodyWriter&) -> bool { throw util::Error("nobody asked for it"); };
    return made;
  });
  RawClient client(address_);
  client.say(
      "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const auto heard = client.hear();
  const size_t first = heard.find("Content-Length: 1000000");
  ASSERT_NE(first, heard.npos) << heard;
  EXPECT_NE(heard.find("Content-Length: 1000000", first + 1), heard.npos) << heard;
  EXPECT_TRUE(heard.ends_with("\r\n\r\n"));
}

TEST_F(ServerTest, a_body_that_cannot_go_on_ends_in_fin_with_all_that_was_sent) {
  for (const bool by_exception : {false, true}) {
    server_.reset();
    serve([by_exception](const ServerRequest&) {
      ServerResponse made{200, "t"};
      made.length = 10'000'000;
      made.stream = [by_exception](BodyWriter& out) -> bool {
        out.write(util::as_bytes(std::string(2'000'000, 'p')));
        if (by_exception) throw util::Error("broken");
        return false;
      };
      return made;
    });
    RawClient client(address_);
    // Bytes that nobody reads would turn the end into a reset.
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" +
               std::string(20'000, 'x'));
    const auto heard = client.hear();
    EXPECT_EQ(client.ended, "FIN");
    EXPECT_EQ(heard.size() - heard.find("\r\n\r\n") - 4, 2'000'000u);
  }
}

TEST_F(ServerTest, refuses_what_two_parsers_could_read_in_two_ways) {
  serve_anything();
  const std::string start = "POST / HTTP/1.1\r\nHost: h\r\n";
  for (const std::string& request : {
           start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           start + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
           start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
           start + "Content-Length: -1\r\n\r\n",
           start + "Content-Length: 3, 3\r\n\r\nabc",
           start + "Content-Length: 99999999999999999999999\r\n\r\n",
           start + "Content-Length: 0x3\r\n\r\nabc",
           start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
           start + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
           start + "Transfer-Encoding: identity\r\n\r\n",
           std::string("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
           std::string("GET / HTTP/1.1\r\n\r\n"),
           start + "Host: i\r\n\r\n",
           start + "X: a\r\n b\r\n\r\n",
           start + "X: a\r\n\tb\r\n\r\n",
           start + "X : a\r\n\r\n",
           start + "X: a\rY: b\r\n\r\n",
           start + "X: a\nY: b\r\n\r\n",
           start + std::string("X: a\0b\r\n\r\n", 10),
           std::string("GET  HTTP/1.1\r\n\r\n"),
           std::string("GET / HTTP/3.0\r\n\r\n"),
           std::string("G\x01T / HTTP/1.1\r\n\r\n"),
           std::string("no http at all\r\n\r\n"),
       })
    EXPECT_EQ(refusal_of(request), "HTTP/1.1 400 Bad Request") << request;
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, refuses_what_is_too_long) {
  serve_anything();
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nX: " + std::string(17'000, 'x') + "\r\n\r\n"),
            "HTTP/1.1 431 Request Header Fields Too Large");
  EXPECT_EQ(refusal_of("GET / HTTP/1.1\r\nX: " + std::string(40'000, 'x')),
            "HTTP/1.1 431 Request Header Fields Too Large");
  EXPECT_EQ(refusal_of("POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n"),
            "HTTP/1.1 413 Payload Too Large");
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, a_header_that_drips_is_given_up) {
  ServerOptions options;
  options.read_timeout = 1s;
  serve_anything(options);
  RawClient client(address_);
  client.say("GET / HTTP/1.1\r\n");
  std::atomic<bool> over{false};
  std::thread dripping([&] {
    while (!over && client.say("X: y\r\n")) std::this_thread::sleep_for(100ms);
  });
  client.hear();
  over = true;
  dripping.join();
  EXPECT_NE(client.ended, "never");
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, serves_five_hundred_connections_at_once) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4096) GTEST_SKIP() << "too few descriptors";
  ServerOptions options;
  options.max_connections = 600;
  std::atomic<int> inside{0};
  serve(
      [&](const ServerRequest&) {
        ++inside;
        for (int i = 0; inside < 500 && i < 3'000; ++i) std::this_thread::sleep_for(10ms);
        return ServerResponse{200, "t", "ok"};
      },
      options);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(std::make_unique<RawClient>(address_));
    clients.back()->say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  for (auto& client : clients) EXPECT_TRUE(client->hear("\r\n\r\nok").ends_with("\r\n\r\nok"));
  EXPECT_EQ(inside, 500);
}

TEST_F(ServerTest, those_beyond_the_cap_wait_for_their_turn) {
  ServerOptions options;
  options.max_connections = 2;
  options.idle_timeout = 1s;
  serve_anything(options);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<RawClient>(address_));
  clients[4]->say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(clients[4]->hear("\r\n\r\nok").ends_with("ok"));
}

TEST_F(ServerTest, its_end_ends_streams) {
  std::atomic<bool> began{false};
  serve([&](const ServerRequest&) {
    ServerResponse made{200, "t"};
    made.length = UINT64_MAX;
    made.stream = [&](BodyWriter& out) {
      const std::string piece(1'000'000, 'p');
      while (out.write(util::as_bytes(piece))) began = true;
      return false;
    };
    return made;
  });
  RawClient client(address_);
  client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  client.hear("ppp");
  while (!began) std::this_thread::sleep_for(1ms);
  server_.reset();
  client.hear();
  EXPECT_NE(client.ended, "never");
}

/// A listener that this process shares with the servers that it hands it to.
class SharedListener {
 public:
  SharedListener() : mine_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    if (::bind(mine_.get(), reinterpret_cast<sockaddr*>(&where), size) ||
        ::listen(mine_.get(), 16) ||
        ::getsockname(mine_.get(), reinterpret_cast<sockaddr*>(&where), &size))
      throw util::SysError("listen");
    options_.tcp_address = "127.0.0.1:" + std::to_string(ntohs(where.sin_port));
  }
  [[nodiscard]] const std::string& address() const { return options_.tcp_address; }
  [[nodiscard]] std::unique_ptr<Server> hand(const std::string& answer) const {
    return std::make_unique<Server>(
        options_,
        [answer](const ServerRequest&) {
          ServerResponse made;
          made.body = answer;
          return made;
        },
        util::UniqueFd(::dup(mine_.get())));
  }

 private:
  const util::UniqueFd mine_;
  ServerOptions options_;
};

constexpr const char* kHandedQuestion = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST(HandedListener, outlives_its_server_and_clients_wait_for_the_next) {
  const SharedListener shared;
  auto first = shared.hand("first");
  RawClient before(shared.address());
  ASSERT_TRUE(before.say(kHandedQuestion));
  EXPECT_NE(before.hear("first").find("200 OK"), std::string::npos);
  first.reset();
  RawClient between(shared.address());  // nobody accepts, nobody refuses
  ASSERT_TRUE(between.say(kHandedQuestion));
  const auto second = shared.hand("second");
  EXPECT_TRUE(between.hear("second").ends_with("second"));
}

TEST(HandedListener, is_handed_on_while_who_is_connected_is_served) {
  const SharedListener shared;
  auto first = shared.hand("first");
  RawClient connected(shared.address());
  ASSERT_TRUE(connected.say(kHandedQuestion));
  EXPECT_TRUE(connected.hear("first").ends_with("first"));
  first->hand_on();
  first->hand_on();
  RawClient late(shared.address());
  ASSERT_TRUE(late.say(kHandedQuestion));
  ASSERT_TRUE(connected.say(kHandedQuestion));
  EXPECT_TRUE(connected.hear("first").ends_with("first"));
  const auto second = shared.hand("second");
  EXPECT_TRUE(late.hear("second").ends_with("second"));
}

TEST(HandedListener, must_listen) {
  ServerOptions options;
  options.tcp_address = "127.0.0.1:1";
  const auto nothing = [](const ServerRequest&) { return ServerResponse{}; };
  EXPECT_THROW(Server(options, nothing, util::UniqueFd(::socket(AF_INET, SOCK_STREAM, 0))),
               util::Error);
}

TEST(OwnListener, goes_on_where_there_is_nobody_to_hand_it_on_to) {
  ServerOptions options;
  options.tcp_address = free_address();
  Server server(options, [](const ServerRequest&) { return ServerResponse{.body = "here"}; });
  server.hand_on();
  RawClient client(options.tcp_address);
  ASSERT_TRUE(client.say(kHandedQuestion));
  EXPECT_TRUE(client.hear("here").ends_with("here"));
}

}  // namespace
}  // namespace swarmfs::http
