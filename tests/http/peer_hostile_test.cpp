// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <poll.h>

#include <thread>

#include "http/peer_fixture.h"
#include "support/mutator.h"
#include "util/sync.h"

namespace swarmfs::http {
namespace {

using namespace std::chrono_literals;
using support::Authority;
using support::Certificate;

class PeerHostileTest : public PeerTest {
 protected:
  /// What a client with this certificate gets out of the server: nothing, if the server is right.
  std::string loot(const std::optional<Certificate>& certificate) {
    TlsClient client(server_->port(), {.certificate = certificate});
    client.shake_hands();
    client.say(kGet);
    return client.hear_all();
  }
  static PeerServerOptions short_of_time() {
    PeerServerOptions options;
    options.handshake_timeout = options.header_timeout = options.answer_timeout =
        options.write_timeout = options.idle_timeout = 200ms;
    return options;
  }
};

TEST_F(PeerHostileTest, gives_a_stranger_nothing_but_a_failed_handshake) {
  serve(echo);
  const Authority other("cluster");  // of the same name, with another key
  const std::pair<const char*, std::optional<Certificate>> strangers[] = {
      {"no certificate", std::nullopt},
      {"another CA", other.issue("client node")},
      {"expired", ca_.issue("client node", -60)},
      {"for servers only", ca_.issue("client node", 3600, "serverAuth")},
      {"a key of another certificate's",
       Certificate{member_.certificate_pem, other.issue("client node").key_pem}},
      {"its own CA", Certificate{other.pem(), other.issue("x").key_pem}}};
  for (const auto& [who, certificate] : strangers) EXPECT_EQ(loot(certificate), "") << who;
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(server_->counts().failed_handshakes, 6U);
  expect_service();
}

TEST_F(PeerHostileTest, speaks_no_older_TLS_and_no_plain_HTTP) {
  serve(echo);
  TlsClient old(server_->port(), {.certificate = member_, .max_version = TLS1_2_VERSION});
  EXPECT_FALSE(old.shake_hands());
  TlsClient plain(server_->port(), {});
  const std::string text = kGet;
  EXPECT_EQ(::send(plain.socket(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  std::string alert(100, '\0');
  const ssize_t got = ::recv(plain.socket(), alert.data(), alert.size(), 0);
  EXPECT_LE(got, 7) << "an alert at most";
  EXPECT_EQ(handled_, 0);
  expect_service();
}

TEST_F(PeerHostileTest, serves_members_while_strangers_hold_their_handshakes_open) {
  PeerServerOptions options;
  options.max_handshakes = 32;
  serve(echo, options);
  std::vector<std::unique_ptr<TlsClient>> silent;
  for (int i = 0; i < 200; ++i)
    silent.push_back(std::make_unique<TlsClient>(server_->port(), TlsClient::Options{}));
  expect_service();
  EXPECT_LE(server_->counts().open, 34U);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(silent[static_cast<size_t>(i)]->is_ended());
}

TEST_F(PeerHostileTest, ends_a_handshake_that_takes_too_long) {
  serve(echo, short_of_time());
  TlsClient silent(server_->port(), {});
  EXPECT_TRUE(silent.is_ended());
  TlsClient slow(server_->port(), {});
  EXPECT_EQ(::send(slow.socket(), "\x16\x03\x01\x02\x00\x01", 6, 0), 6);
  EXPECT_TRUE(slow.is_ended());
  EXPECT_EQ(server_->counts().failed_handshakes, 2U);
}

TEST_F(PeerHostileTest, ends_a_header_that_takes_too_long_however_lively_it_is) {
  PeerServerOptions options;
  options.header_timeout = 200ms;
  serve(echo, options);
  const auto slow = member();
  slow->say("GET / HTTP/1.1\r\n");
  const auto begin = std::chrono::steady_clock::now();
  pollfd end{slow->socket(), POLLIN, 0};
  for (int line = 0; ::poll(&end, 1, 10) == 0; ++line)
    slow->say("X" + std::to_string(line) + ": y\r\n");
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(took, 150ms);
  EXPECT_LT(took, 5s);
  EXPECT_EQ(handled_, 0);
  expect_service();
}

TEST_F(PeerHostileTest, ends_connections_that_are_idle) {
  serve(echo, short_of_time());
  EXPECT_TRUE(member()->is_ended());
  const auto client = member();
  client->say(kGet);
  EXPECT_FALSE(client->hear_answer().empty());
  EXPECT_TRUE(client->is_ended());
}

TEST_F(PeerHostileTest, refuses_headers_that_are_too_large) {
  serve(echo);
  const std::string field = "X: " + std::string(1000, 'y') + "\r\n";
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 100; ++i) many += "X" + std::to_string(i) + field;
  for (const std::string& huge : {many, "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'y'),
                                  "GET /" + std::string(100'000, 'y'), std::string(100'000, 'y')}) {
    const auto client = member();
    client->say(huge);
    const std::string answer = client->hear_all();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 400 "))
        << answer;
  }
  EXPECT_EQ(handled_, 0);
  const auto client = member();
  client->say("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(15'000, 'y') + "\r\n\r\n");
  EXPECT_TRUE(client->hear_answer().ends_with("GET /"));
}

TEST_F(PeerHostileTest, refuses_bodies) {
  serve(echo);
  for (const char* head :
       {"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n"}) {
    const auto client = member();
    client->say(head + std::string(100'000, 'x'));
    const std::string answer = client->hear_all();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << head << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  }
  EXPECT_EQ(handled_, 0);
  const auto client = member();
  client->say("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client->hear_answer().ends_with("GET /"));
}

TEST_F(PeerHostileTest, ends_a_connection_over_anything_ambiguous) {
  serve(echo);
  for (const std::string fields :
       {"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 0, 5\r\n", "Content-Length: -1\r\n", "Content-Length: +0\r\n",
        "Content-Length: 0x0\r\n", "Content-Length: 99999999999999999999\r\n",
        "Content-Length:\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n", "Host: x\r\nhost: y\r\n",
        "Range: bytes=0-1\r\nRange: bytes=2-3\r\n", "X y: z\r\n", "no colon\r\n", ": empty\r\n",
        "X: a\rb\r\n", "X: a\nY: b\r\n"}) {
    const auto client = member();
    client->say("GET / HTTP/1.1\r\n" + fields + "\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = client->hear_all();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 4")) << fields << answer;
    EXPECT_EQ(answer.find("smuggled"), std::string::npos) << fields;
    EXPECT_TRUE(client->is_ended()) << fields;
  }
  for (const std::string line : {"GET / HTTP/2.0", "GET /", "GET  / HTTP/1.1", "GET / x HTTP/1.1",
                                 " GET / HTTP/1.1", "G\xffT / HTTP/1.1", "GET /\x01 HTTP/1.1"}) {
    const auto client = member();
    client->say(line + "\r\n\r\n");
    EXPECT_TRUE(client->hear_all().starts_with("HTTP/1.1 4")) << line;
  }
  EXPECT_EQ(handled_, 0);
  expect_service();
}

TEST_F(PeerHostileTest, answers_a_client_that_has_closed_its_half) {
  serve(echo);
  const auto client = member();
  client->say(kGet);
  client->half_close();
  EXPECT_TRUE(client->hear_answer().ends_with("GET /"));
  EXPECT_TRUE(client->is_ended());
}

TEST_F(PeerHostileTest, frees_an_answer_that_is_not_read) {
  const auto owner = std::make_shared<const util::Bytes>(64 << 20);
  PeerServerOptions options;
  options.write_timeout = 300ms;
  serve(
      [&](const PeerRequest&, const PeerServer::Respond& respond) {
        respond({200, {}, {util::SharedBytes(owner, *owner)}});
      },
      options);
  const auto stuck = member(8192);
  stuck->say(kGet);
  EXPECT_FALSE(stuck->hear().empty());
  while (server_->counts().open > 0) std::this_thread::yield();
  while (owner.use_count() > 1) std::this_thread::yield();
  EXPECT_TRUE(stuck->is_ended());
}

TEST_F(PeerHostileTest, lets_a_slow_reader_take_longer_while_it_reads) {
  PeerServerOptions options;
  options.write_timeout = 3s;
  serve(
      [part = bytes(std::string(1 << 20, 'x'))](const PeerRequest&,
                                                const PeerServer::Respond& respond) {
        respond({200, {}, std::vector<util::SharedBytes>(64, part)});
      },
      options);
  const auto slow = member(8192);
  slow->say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const auto until = std::chrono::steady_clock::now() + options.write_timeout + 1s;
  size_t heard = 0;
  while (std::chrono::steady_clock::now() < until) {
    heard += slow->hear().size();
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_LT(heard, 64U << 20) << "not slow at all";
  EXPECT_GT(heard + slow->hear_all().size(), 64U << 20);
}

TEST_F(PeerHostileTest, answers_503_where_the_handler_does_not_and_goes_on) {
  util::Sync<std::vector<PeerServer::Respond>> late;
  PeerServerOptions options;
  options.answer_timeout = 100ms;
  options.threads = 1;
  serve(
      [&](const PeerRequest& request, PeerServer::Respond respond) {
        if (request.path == "/now") return echo(request, respond);
        late.lock()->push_back(std::move(respond));
      },
      options);
  const auto client = member();
  client->say(kGet);
  EXPECT_TRUE(client->hear_answer().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
  client->say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client->hear_answer().ends_with("GET /now"));
  client->say(kGet);
  late.lock()->at(0)({200, {}, {bytes("much too late")}});
  EXPECT_TRUE(client->hear_answer().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
}

TEST_F(PeerHostileTest, says_what_will_take_long_again_and_again_but_not_for_ever) {
  util::Sync<std::vector<PeerServer::Respond>> late;
  PeerServerOptions options;
  options.answer_timeout = options.sign_of_life = 100ms;
  options.long_timeout = 2'000ms;
  std::atomic<int> gone{0};
  serve(
      [&](const PeerRequest& request, PeerServer::Respond respond) {
        if (request.path == "/now") return echo(request, respond);
        PeerResponse sign{102, {}, {}};
        sign.on_gone = [&] { ++gone; };
        respond(std::move(sign));
        late.lock()->push_back(std::move(respond));
      },
      options);
  const std::string sign = "HTTP/1.1 102 Processing\r\n\r\n";
  const auto client = member();
  client->say(kGet);
  EXPECT_EQ(client->hear(), sign);
  EXPECT_EQ(client->hear(), sign);
  late.lock()->at(0)({200, {}, {bytes("late")}});
  std::string answer = client->hear_answer();
  while (answer.starts_with(sign)) answer.erase(0, sign.size());
  EXPECT_EQ(answer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
  EXPECT_EQ(gone, 0);
  client->say(kGet);
  std::string all = client->hear();
  for (int i = 0; i < 50 && all.ends_with(sign); ++i) all += client->hear();
  EXPECT_TRUE(all.starts_with(sign));
  EXPECT_TRUE(all.find("HTTP/1.1 503 Service Unavailable\r\n") != std::string::npos) << all;
  EXPECT_EQ(gone, 1) << "it waited for too long";
  late.lock()->at(1)({102, {}, {}});
  client->say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client->hear_answer().ends_with("GET /now")) << "a 102 that came too late";
  // HTTP/1.0 knows no 102.
  client->say("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(client->hear_all().starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(gone, 2);
  auto leaves = member();
  leaves->say(kGet);
  EXPECT_EQ(leaves->hear(), sign);
  leaves.reset();
  while (gone < 3) std::this_thread::yield();
  server_.reset();  // before what its handler uses
}

TEST_F(PeerHostileTest, forgets_a_client_that_goes_while_it_is_answered) {
  std::promise<PeerServer::Respond> asked;
  serve([&](const PeerRequest& request, PeerServer::Respond respond) {
    if (request.path == "/") return echo(request, respond);
    asked.set_value(std::move(respond));
  });
  auto client = member();
  client->say("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto respond = asked.get_future().get();
  client.reset();
  respond({200, {}, {bytes(std::string(8 << 20, 'x'))}});
  while (server_->counts().open > 0) std::this_thread::yield();
  expect_service();
}

TEST_F(PeerHostileTest, holds_500_connections_in_little_memory) {
  serve(echo);
  expect_service();
  const auto before = ::mallinfo2();
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 500; ++i) {
    clients.push_back(member());
    clients.back()->say(kGet);
    EXPECT_FALSE(clients.back()->hear_answer().empty());
  }
  EXPECT_GE(server_->counts().open, 500U);
  const auto after = ::mallinfo2();
  // Both sides of the connections are in this process.
  EXPECT_LT((after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 500, 100'000U);
  for (const auto& client : clients) {
    client->say(kGet);
    EXPECT_FALSE(client->hear_answer().empty());
  }
  EXPECT_EQ(server_->counts().failed_handshakes, 0U);
}

TEST_F(PeerHostileTest, makes_room_at_the_cost_of_the_longest_idle) {
  PeerServerOptions options;
  options.threads = 1;
  options.max_connections = 4;
  serve(echo, options);
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(member());
    clients.back()->say(kGet);
    EXPECT_FALSE(clients.back()->hear_answer().empty());
  }
  EXPECT_EQ(server_->counts().open, 4U);
  for (size_t i = 0; i < clients.size(); ++i) {
    clients[i]->say(kGet);
    EXPECT_EQ(clients[i]->hear_answer().empty(), i < 2) << i;
  }
}

TEST_F(PeerHostileTest, takes_no_newcomer_where_everyone_is_busy) {
  std::vector<PeerServer::Respond> waiting;
  std::promise<void> both;
  PeerServerOptions options;
  options.threads = 1;
  options.max_connections = 2;
  serve(
      [&](const PeerRequest&, PeerServer::Respond respond) {
        waiting.push_back(std::move(respond));
        if (waiting.size() == 2) both.set_value();
      },
      options);
  const auto first = member(), second = member();
  first->say(kGet);
  second->say(kGet);
  both.get_future().get();
  EXPECT_TRUE(member()->is_ended());
  for (const auto& respond : waiting) respond({200, {}, {}});
  EXPECT_FALSE(first->hear_answer().empty());
  EXPECT_FALSE(second->hear_answer().empty());
}

TEST_F(PeerHostileTest, hears_no_more_of_a_member_whose_certificate_has_expired) {
  serve(echo);
  TlsClient client(server_->port(), {.certificate = ca_.issue("short-lived", 2)});
  ASSERT_TRUE(client.shake_hands());
  const auto begin = std::chrono::steady_clock::now();
  int answers = 0;
  for (; client.say(kGet) && !client.hear_answer().empty(); ++answers)
    ASSERT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_GT(answers, 0);
}

TEST_F(PeerHostileTest, goes_on_after_damaged_requests) {
  serve(echo);
  support::Mutator mutator(1);
  const std::vector<std::string> seeds{
      kGet, "HEAD /v1/layers?repository=a%2Fb&layers=1,2 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /v1/layers/abc/bytes HTTP/1.1\r\nHost: x\r\nRange: bytes=0-16383\r\n\r\n"};
  int answered = 0;
  for (int i = 0; i < 300; ++i) {
    const auto client = member();
    client->say(mutator(seeds));
    client->half_close();
    const std::string answer = client->hear_all();
    if (answer.empty()) continue;
    ++answered;
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 ")) << answer;
  }
  EXPECT_GT(answered, 30) << "most are answered, if only with a refusal";
  EXPECT_GT(handled_, 10);
  expect_service();
}

}  // namespace
}  // namespace swarmfs::http
