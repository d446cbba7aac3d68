// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <thread>

#include "http/peer_fixture.h"
#include "util/error.h"

namespace swarmfs::http {
namespace {

using support::Authority;
using support::Certificate;

TEST_F(PeerTest, tells_the_handler_who_asks_for_what) {
  std::string told;
  serve([&](const PeerRequest& request, const PeerServer::Respond& respond) {
    told = request.method + "|" + request.path + "|" + request.query.at("a b") + "|" +
           request.header("RANGE").value_or("none") + "|" + request.peer;
    EXPECT_TRUE(request.remote_address.starts_with("127.0.0.1:"));
    respond({206, {{"Content-Range", "bytes 0-5/9"}}, {bytes("abc"), bytes(""), bytes("def")}});
  });
  const auto client = member();
  EXPECT_EQ(client->version(), "TLSv1.3");
  client->say("GET /x%20y?a%20b=c%26d HTTP/1.1\r\nHost: x\r\nRange: bytes=0-5\r\n\r\n");
  EXPECT_EQ(client->hear_answer(),
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-5/9\r\n"
            "Content-Length: 6\r\n\r\nabcdef");
  EXPECT_EQ(told, "GET|/x y|c&d|bytes=0-5|client node");
}

TEST_F(PeerTest, hands_on_the_path_decoded_once_and_otherwise_as_it_came) {
  serve(echo);
  const auto client = member();
  const std::pair<std::string, std::string> cases[] = {{"/", "/"},
                                                       {"/a/../b", "/a/../b"},
                                                       {"/%2e%2e/%2E", "/../."},
                                                       {"/a%2Fb", "/a/b"},
                                                       {"/%252e", "/%2e"},
                                                       {"//a", "//a"},
                                                       {"/a+b", "/a+b"},
                                                       {"/%c3%a4", "/\xc3\xa4"},
                                                       {"/a?b=/../c", "/a"},
                                                       {"/a%3Fb", "/a?b"},
                                                       {"/%00", std::string("/\0", 2)}};
  for (const auto& [asked, path] : cases) {
    client->say("GET " + asked + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = client->hear_answer();
    EXPECT_EQ(answer.substr(std::min(answer.find("\r\n\r\n"), answer.size())),
              "\r\n\r\nGET " + path);
  }
}

TEST_F(PeerTest, refuses_what_is_no_path) {
  serve(echo);
  for (const char* bad : {"*", "https://x/a", "x:443", "/%", "/%4", "/%zz", "/a?b=%g0", "/%-1"}) {
    const auto client = member();
    client->say(std::string("GET ") + bad + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(client->hear_all().starts_with("HTTP/1.1 400 Bad Request\r\n")) << bad;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(PeerTest, keeps_a_connection_and_answers_pipelined_requests_in_order) {
  serve(echo);
  const auto client = member();
  std::string all;
  for (int i = 0; i < 100; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  client->say(all);
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(client->hear_answer().ends_with("\r\n\r\nGET /" + std::to_string(i)));
  EXPECT_EQ(server_->counts().accepted, 1U);
  EXPECT_EQ(server_->counts().open, 1U);
}

TEST_F(PeerTest, answers_a_request_that_comes_byte_by_byte) {
  serve(echo);
  const auto client = member();
  for (const char c : std::string(kGet)) client->say(std::string(1, c));
  EXPECT_TRUE(client->hear_answer().ends_with("GET /"));
}

TEST_F(PeerTest, answers_HEAD_without_a_body) {
  serve(echo);
  const auto client = member();
  client->say("HEAD /four HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client->hear_all(),
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n");
}

TEST_F(PeerTest, ends_a_connection_that_is_not_to_be_kept) {
  serve(echo);
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    const auto client = member();
    client->say(request);
    EXPECT_TRUE(client->hear_all().ends_with("Connection: close\r\n\r\nGET /")) << request;
  }
}

TEST_F(PeerTest, answers_500_where_the_handler_throws) {
  serve([](const PeerRequest&, const PeerServer::Respond&) { throw util::Error("broken"); });
  const auto client = member();
  for (int i = 0; i < 2; ++i) {
    client->say(kGet);
    EXPECT_EQ(client->hear_answer(),
              "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
  }
}

TEST_F(PeerTest, takes_answers_from_any_thread) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  serve([&](const PeerRequest& request, const PeerServer::Respond& respond) {
    const std::lock_guard hold(mutex);
    threads.emplace_back([path = request.path, respond] {
      respond({200, {}, {bytes(path)}});
      respond({200, {}, {bytes("once more")}});
    });
  });
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&, i] {
      const auto client = member();
      for (int j = 0; j < 25; ++j) {
        const std::string path = "/" + std::to_string(i) + "/" + std::to_string(j);
        client->say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
        right += client->hear_answer().ends_with("\r\n\r\n" + path);
      }
    });
  for (auto& client : clients) client.join();
  server_.reset();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

TEST_F(PeerTest, writes_a_body_from_where_it_is) {
  constexpr size_t kPart = 1 << 20;
  constexpr size_t kParts = 256;
  serve([part = bytes(std::string(kPart, 'x'))](const PeerRequest&,
                                                const PeerServer::Respond& respond) {
    respond({200, {}, std::vector<util::SharedBytes>(kParts, part)});
  });
  const auto client = member();
  const auto before = ::mallinfo2().uordblks;
  client->say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  size_t heard = 0, most = 0;
  for (std::string next = client->hear(); !next.empty(); next = client->hear()) {
    heard += next.size();
    most = std::max(most, ::mallinfo2().uordblks);
  }
  EXPECT_EQ(heard, kPart * kParts + std::string("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n"
                                                "Connection: close\r\n\r\n")
                                        .size());
  EXPECT_LT(most, before + kPart) << "of 256 MiB no copy was made";
}

TEST_F(PeerTest, listens_on_several_addresses_but_not_twice_on_one) {
  PeerServerOptions options;
  options.addresses = {"127.0.0.1:0", "[::1]:0"};
  const TlsMaterial ours = material(ca_.issue("node"), ca_);
  const PeerServer both(options, ours, echo);
  options.addresses = {"127.0.0.1:" + std::to_string(both.port())};
  EXPECT_THROW(PeerServer(options, ours, echo), util::Error);
  for (const char* bad : {"127.0.0.1", "127.0.0.1:", "host:1", ":1", "127.0.0.1:70000", "1:x"}) {
    options.addresses = {bad};
    EXPECT_THROW(PeerServer(options, ours, echo), util::Error) << bad;
  }
}

TEST_F(PeerTest, refuses_material_that_makes_no_server) {
  const TlsMaterial good = material(ca_.issue("node"), ca_);
  serve(echo);
  for (std::string TlsMaterial::*part :
       {&TlsMaterial::certificate_pem, &TlsMaterial::key_pem, &TlsMaterial::ca_pem})
    for (const std::string& bad :
         {std::string(), std::string("-----BEGIN"), ca_.issue("another").key_pem}) {
      TlsMaterial broken = good;
      broken.*part = bad;
      EXPECT_THROW(server_->set_tls(broken), util::Error);
    }
  expect_service();
}

TEST_F(PeerTest, trusts_old_and_new_while_the_CA_changes) {
  serve(echo);
  const Authority next("next cluster CA");
  const Certificate newer = next.issue("newer node");
  const auto before = member();
  before->say(kGet);
  EXPECT_FALSE(before->hear_answer().empty());

  TlsMaterial both = material(ca_.issue("server node"), ca_);
  both.ca_pem += next.pem();
  server_->set_tls(both);
  EXPECT_EQ(before->hear(), "") << "connections from before end";
  for (const auto& certificate : {member_, newer}) {
    TlsClient client(server_->port(), {.certificate = certificate});
    ASSERT_TRUE(client.shake_hands());
    client.say(kGet);
    EXPECT_TRUE(client.hear_answer().ends_with("GET /"));
  }

  server_->set_tls(material(next.issue("server node"), next));
  TlsClient old(server_->port(), {.certificate = member_});
  old.shake_hands();
  old.say(kGet);
  EXPECT_EQ(old.hear(), "");
  TlsClient client(server_->port(), {.certificate = newer});
  ASSERT_TRUE(client.shake_hands());
  client.say(kGet);
  EXPECT_TRUE(client.hear_answer().ends_with("GET /"));
}

TEST_F(PeerTest, keeps_connections_when_only_its_own_certificate_is_renewed) {
  serve(echo);
  const auto client = member();
  server_->set_tls(material(ca_.issue("server node"), ca_));
  client->say(kGet);
  EXPECT_TRUE(client->hear_answer().ends_with("GET /"));
}

TEST_F(PeerTest, ends_an_answer_under_way_before_the_new_CA_holds) {
  std::promise<PeerServer::Respond> asked;
  serve([&](const PeerRequest&, PeerServer::Respond respond) {
    asked.set_value(std::move(respond));
  });
  const auto client = member();
  client->say(kGet);
  const auto respond = asked.get_future().get();
  const Authority next("next cluster CA");
  server_->set_tls(material(next.issue("server node"), next));
  respond({200, {}, {bytes("whole")}});
  EXPECT_EQ(client->hear_all(),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole");
}

TEST_F(PeerTest, gives_answers_under_way_their_grace_at_the_end) {
  std::promise<PeerServer::Respond> asked;
  PeerServerOptions options;
  options.grace = std::chrono::seconds(20);
  serve(
      [&](const PeerRequest&, PeerServer::Respond respond) { asked.set_value(std::move(respond)); },
      options);
  const auto idle = member();
  auto client = member();
  client->say(kGet);
  const auto respond = asked.get_future().get();
  auto ended = std::async(std::launch::async, [&] { server_.reset(); });
  EXPECT_EQ(idle->hear(), "");
  respond({200, {}, {bytes("whole")}});
  EXPECT_TRUE(client->hear_all().ends_with("\r\n\r\nwhole"));
  client.reset();
  ended.get();
}

TEST_F(PeerTest, ends_while_requests_are_pending_and_ignores_what_comes_later) {
  std::promise<PeerServer::Respond> asked;
  PeerServerOptions options;
  options.grace = std::chrono::milliseconds(50);
  serve(
      [&](const PeerRequest&, PeerServer::Respond respond) { asked.set_value(std::move(respond)); },
      options);
  const auto client = member();
  client->say(kGet);
  const auto respond = asked.get_future().get();
  server_.reset();
  EXPECT_TRUE(client->is_ended());
  const auto owner = std::make_shared<const util::Bytes>(10);
  respond({200, {}, {util::SharedBytes(owner, *owner)}});
  EXPECT_EQ(owner.use_count(), 1);
}

TEST_F(PeerTest, ends_while_answers_come_from_other_threads) {
  std::mutex mutex;
  std::vector<PeerServer::Respond> waiting;
  PeerServerOptions options;
  options.grace = std::chrono::milliseconds(20);
  serve(
      [&](const PeerRequest&, PeerServer::Respond respond) {
        const std::lock_guard hold(mutex);
        waiting.push_back(std::move(respond));
      },
      options);
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(member());
    clients.back()->say(kGet);
  }
  std::atomic<bool> over{false};
  std::thread answering([&, body = bytes(std::string(100'000, 'x'))] {
    while (!over) {
      // Lets go of the mutex and rests between rounds: the server's thread, which wants it for the
      // next request, would starve while a queue of answers fills the memory.
      std::unique_lock hold(mutex);
      const auto answered = waiting;
      hold.unlock();
      for (const auto& respond : answered) respond({200, {}, {body}});
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  clients[0]->hear_answer();
  server_.reset();
  over = true;
  answering.join();
}

/// Eight connections of one member at a time, each with bulk of its own kind, and readers in
/// between.
TEST_F(PeerTest, gives_all_of_the_bulk_beside_what_somebody_waits_for) {
  std::map<std::string, std::string> bodies;
  for (int i = 0; i < 12; ++i) {
    const std::string path = (i % 3 ? "/bulk" : "/fault") + std::to_string(i);
    for (int k = 0; bodies[path].size() < 700'000; ++k) bodies[path] += path + std::to_string(k);
  }
  serve([&](const PeerRequest& request, const PeerServer::Respond& respond) {
    PeerResponse response{200, {}, {bytes(bodies.at(request.path))}};
    response.bulk = request.path.starts_with("/bulk");
    respond(std::move(response));
  });
  std::vector<std::future<void>> all;
  for (const auto& [path, body] : bodies)
    all.push_back(std::async(std::launch::async, [&] {
      const auto client = member();
      for (int round = 0; round < 3; ++round) {
        client->say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
        const std::string answer = client->hear_answer();
        ASSERT_NE(answer.find("\r\n\r\n"), std::string::npos) << path;
        EXPECT_TRUE(answer.substr(answer.find("\r\n\r\n") + 4) == body) << path;
      }
    }));
  for (auto& one : all) one.get();
}

/// As many as its window has room for, and more: who is paused keeps nobody waiting.
TEST_F(PeerTest, gives_bulk_beside_connections_that_do_not_read) {
  const std::string much(4 << 20, 'x');
  PeerServerOptions options;
  options.write_timeout = std::chrono::seconds(60);
  serve(
      [&](const PeerRequest&, const PeerServer::Respond& respond) {
        PeerResponse response{200, {}, {bytes(much)}};
        response.bulk = true;
        respond(std::move(response));
      },
      options);
  std::vector<std::unique_ptr<TlsClient>> paused;
  for (int i = 0; i < 6; ++i) {
    paused.push_back(member(16 * 1024));
    paused.back()->say(kGet);
  }
  const auto reader = member();
  reader->say(kGet);
  EXPECT_TRUE(reader->hear_answer().ends_with("\r\n\r\n" + much));
  for (const auto& client : paused) EXPECT_TRUE(client->hear_answer().ends_with(much));
}

/// A reader that takes nothing of its answer.
TEST_F(PeerTest, gives_bulk_beside_an_urgent_answer_that_is_stuck) {
  const std::string much(4 << 20, 'x');
  serve([&](const PeerRequest& request, const PeerServer::Respond& respond) {
    PeerResponse response{200, {}, {bytes(much)}};
    response.bulk = request.path == "/bulk";
    respond(std::move(response));
  });
  const auto stuck = member(16 * 1024);
  stuck->say(kGet);
  const auto reader = member();
  reader->say("GET /bulk HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(reader->hear_answer().ends_with("\r\n\r\n" + much));
}

/// One that waits for its turn ends like all others.
TEST_F(PeerTest, ends_with_bulk_that_waits_for_its_turn) {
  PeerServerOptions options;
  options.grace = std::chrono::milliseconds(100);
  serve(
      [&](const PeerRequest&, const PeerServer::Respond& respond) {
        PeerResponse response{200, {}, {bytes(std::string(16 << 20, 'x'))}};
        response.bulk = true;
        respond(std::move(response));
      },
      options);
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(member(16 * 1024));
    clients.back()->say(kGet);
  }
  while (handled_ < 12) std::this_thread::yield();
  clients.resize(6);  // some go while they wait
  server_.reset();
  for (const auto& client : clients) EXPECT_TRUE(client->is_ended());
}

}  // namespace
}  // namespace swarmfs::http
