// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/client.h"
#include "http/peer_fixture.h"
#include "http/range.h"
#include "support/raw_server.h"
#include "util/sync.h"

namespace swarmfs::http {
namespace {

using support::Authority;
using support::RawServer;
using util::Fault;

class PeerClientTest : public PeerTest {
 protected:
  Request request(const std::string& path = "/") const {
    Request made;
    made.url = "https://127.0.0.1:" + std::to_string(server_->port()) + path;
    made.tls.cluster = ours_;
    return made;
  }
  util::Outcome<Response> ask(const std::string& path = "/") {
    return client_.perform(request(path));
  }

  std::shared_ptr<const TlsMaterial> ours_ =
      std::make_shared<const TlsMaterial>(material(member_, ca_));
  Client client_;
};

TEST_F(PeerClientTest, knows_the_server_and_is_known_also_on_a_connection_used_again) {
  serve([](const PeerRequest& asked, const PeerServer::Respond& respond) {
    respond({200, {}, {bytes(asked.peer + asked.path)}});
  });
  for (int i = 0; i < 50; ++i) {
    const auto answer = ask("/" + std::to_string(i));
    ASSERT_TRUE(answer) << answer.failure().message;
    EXPECT_EQ(answer->body, "client node/" + std::to_string(i));
    EXPECT_EQ(answer->peer, "server node");
    EXPECT_EQ(answer->remote_address, "127.0.0.1:" + std::to_string(server_->port()));
  }
  EXPECT_EQ(server_->counts().accepted, 1U);
}

TEST_F(PeerClientTest, uses_a_connection_again_with_equal_material_of_another_object) {
  serve(echo);
  ASSERT_TRUE(ask());
  ours_ = std::make_shared<const TlsMaterial>(*ours_);
  ASSERT_TRUE(ask());
  EXPECT_EQ(server_->counts().accepted, 1U);
}

TEST_F(PeerClientTest, shares_no_connection_between_identities) {
  serve([](const PeerRequest& asked, const PeerServer::Respond& respond) {
    respond({200, {}, {bytes(asked.peer)}});
  });
  EXPECT_EQ(ask()->body, "client node");
  ours_ = std::make_shared<const TlsMaterial>(material(ca_.issue("renewed node"), ca_));
  EXPECT_EQ(ask()->body, "renewed node");
  EXPECT_EQ(server_->counts().accepted, 2U);

  TlsMaterial trusts_others = *ours_;
  const Authority other("other");
  trusts_others.ca_pem = other.pem();
  ours_ = std::make_shared<const TlsMaterial>(trusts_others);
  const auto answer = ask();
  ASSERT_FALSE(answer) << "a connection from before would have done";
  EXPECT_EQ(answer.failure().fault, Fault::denied);
}

TEST_F(PeerClientTest, goes_on_over_a_rotation_of_the_CA) {
  serve(echo);
  ASSERT_TRUE(ask());
  const Authority next("next cluster CA");
  TlsMaterial both = material(ca_.issue("server node"), ca_);
  both.ca_pem += next.pem();
  server_->set_tls(both);
  ASSERT_TRUE(ask()) << "by a new connection";
  TlsMaterial newer = material(next.issue("client node"), next);
  newer.ca_pem += ca_.pem();
  ours_ = std::make_shared<const TlsMaterial>(newer);
  ASSERT_TRUE(ask());
  server_->set_tls(material(next.issue("new server"), next));
  EXPECT_EQ(ask()->peer, "new server");
}

TEST_F(PeerClientTest, trusts_nobody_but_the_cluster) {
  serve(echo);
  for (const char* name : {"cluster", "another cluster"}) {
    const Authority other(name);
    TlsMaterial stranger = material(other.issue("server node"), other);
    stranger.ca_pem += ca_.pem();
    server_->set_tls(stranger);
    EXPECT_FALSE(ask()) << name;
  }
  for (const auto& certificate :
       {ca_.issue("server node", -60), ca_.issue("server node", 3600, "clientAuth")}) {
    server_->set_tls(material(certificate, ca_));
    EXPECT_EQ(ask().failure().fault, Fault::denied);
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(PeerClientTest, gets_nothing_where_it_is_no_member) {
  serve(echo);
  const Authority other("cluster");
  TlsMaterial outsider = material(other.issue("client node"), other);
  outsider.ca_pem = ca_.pem();
  ours_ = std::make_shared<const TlsMaterial>(outsider);
  EXPECT_FALSE(ask());
  ours_ = nullptr;
  EXPECT_FALSE(ask());
  EXPECT_EQ(handled_, 0);
}

TEST_F(PeerClientTest, says_who_rejects_its_certificate_and_what_to_look_at) {
  serve(echo);
  const Authority other("cluster");
  for (const auto& certificate : {other.issue("client node"), ca_.issue("client node", -60),
                                  ca_.issue("client node", 3600, "serverAuth")}) {
    ours_ = std::make_shared<const TlsMaterial>(material(certificate, ca_));
    for (int i = 0; i < 20; ++i) {
      const auto answer = ask();
      ASSERT_FALSE(answer);
      EXPECT_EQ(answer.failure().fault, Fault::denied) << answer.failure().message;
      for (const std::string& part :
           {"127.0.0.1:" + std::to_string(server_->port()), std::string("rejects our certificate"),
            std::string("clock"), std::string("token")})
        EXPECT_NE(answer.failure().message.find(part), std::string::npos)
            << answer.failure().message;
    }
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(PeerClientTest, waits_for_a_late_answer_while_the_server_shows_signs_of_life) {
  util::Sync<std::vector<PeerServer::Respond>> late;
  PeerServerOptions options;
  options.sign_of_life = std::chrono::milliseconds(100);
  serve(
      [&](const PeerRequest& asked, PeerServer::Respond respond) {
        if (asked.path == "/long") respond({102, {}, {}});
        late.lock()->push_back(std::move(respond));
      },
      options);
  const auto ask_for = [&](const std::string& path) {
    Request made = request(path);
    made.stall_timeout = std::chrono::milliseconds(1'000);
    return client_.perform(made);
  };
  auto answer = std::async(std::launch::async, ask_for, "/long");
  EXPECT_EQ(answer.wait_for(std::chrono::seconds(3)), std::future_status::timeout);
  late.lock()->at(0)({200, {}, {bytes("late")}});
  const auto heard = answer.get();
  ASSERT_TRUE(heard) << heard.failure().message;
  EXPECT_EQ(heard->status, 200);
  EXPECT_EQ(heard->body, "late");
  const auto silent = ask_for("/silent");
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.failure().fault, Fault::timed_out);
  server_.reset();  // before what its handler uses
}

TEST_F(PeerClientTest, asks_peers_by_TLS_alone_and_without_a_proxy) {
  serve(echo);
  ::setenv("https_proxy", "http://127.0.0.1:1", 1);
  const auto answer = ask();
  ::unsetenv("https_proxy");
  EXPECT_TRUE(answer) << answer.failure().message;
  Request plain = request();
  plain.url = "http://127.0.0.1:" + std::to_string(server_->port()) + "/";
  EXPECT_EQ(client_.perform(plain).failure().fault, Fault::invalid);
}

TEST_F(PeerClientTest, streams_many_ranges_at_once_over_few_connections) {
  std::string content(1 << 20, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + (i >> 9));
  const auto whole = bytes(content);
  serve([&](const PeerRequest& asked, const PeerServer::Respond& respond) {
    const auto range = parse_range(asked.header("Range").value_or(""));
    respond({206,
             {{"Content-Range", "bytes " + std::to_string(range->offset) + "-" +
                                    std::to_string(range->end() - 1) + "/1048576"}},
             {whole.slice(range->offset, range->length)}});
  });
  Client client(4);
  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::vector<std::string> heard(64);
  std::atomic<int> left{64};
  std::promise<void> all;
  for (size_t i = 0; i < heard.size(); ++i) {
    Request get = request();
    get.range = util::ByteRange{i * 16384 + i, 16384 - i};
    Handlers handlers;
    handlers.on_data = [&, i](util::ByteView view) { heard[i] += util::as_text(view); };
    handlers.on_done = [&](util::Outcome<Response> outcome) {
      EXPECT_TRUE(outcome && outcome->peer == "server node");
      if (--left == 0) all.set_value();
    };
    exchanges.push_back(client.start(get, std::move(handlers)));
  }
  all.get_future().get();
  for (size_t i = 0; i < heard.size(); ++i)
    EXPECT_EQ(heard[i], content.substr(i * 16384 + i, 16384 - i)) << i;
  EXPECT_LE(server_->counts().accepted, 4U);
}

struct Asked {
  std::string data;
  std::optional<Fault> fault;
};

/// bytes=4-7 of a server that answers like this.
Asked ask_range(const std::string& answer, bool endless = false) {
  const RawServer server(answer, endless);
  Client client;
  Request get;
  get.url = server.url();
  get.range = util::ByteRange{4, 4};
  Asked asked;
  std::promise<void> done;
  Handlers handlers;
  handlers.on_data = [&](util::ByteView view) { asked.data += util::as_text(view); };
  handlers.on_done = [&](const util::Outcome<Response>& outcome) {
    if (!outcome) asked.fault = outcome.failure().fault;
    done.set_value();
  };
  const auto exchange = client.start(get, std::move(handlers));
  done.get_future().get();
  return asked;
}

TEST(RangeAnswer, is_delivered_when_it_is_what_was_asked_for) {
  const Asked asked =
      ask_range("HTTP/1.1 206 P\r\nContent-Range: bytes 4-7/9\r\nContent-Length: 4\r\n\r\nabcd");
  EXPECT_EQ(asked.data, "abcd");
  EXPECT_FALSE(asked.fault);
}

TEST(RangeAnswer, may_end_with_the_thing_itself) {
  const Asked asked =
      ask_range("HTTP/1.1 206 P\r\nContent-Range: bytes 4-5/6\r\nContent-Length: 2\r\n\r\nab");
  EXPECT_EQ(asked.data, "ab");
  EXPECT_FALSE(asked.fault);
}

TEST(RangeAnswer, is_never_delivered_beyond_the_range) {
  const std::string longer = "HTTP/1.1 206 P\r\nContent-Range: bytes 4-9/10\r\n";
  const std::string lying = "HTTP/1.1 206 P\r\nContent-Range: bytes 4-7/10\r\n";
  for (const std::string& answer :
       {longer + "Content-Length: 6\r\n\r\nabcdef", lying + "Content-Length: 6\r\n\r\nabcdef",
        lying + "\r\nabcdef",
        lying + "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"}) {
    const Asked asked = ask_range(answer);
    EXPECT_EQ(asked.data, "abcd") << answer;
    EXPECT_EQ(asked.fault, Fault::invalid) << answer;
  }
}

TEST(RangeAnswer, that_is_endless_ends) {
  const Asked asked = ask_range("HTTP/1.1 206 P\r\nContent-Range: bytes 4-7/9\r\n\r\n", true);
  EXPECT_EQ(asked.data, "xxxx");
  EXPECT_EQ(asked.fault, Fault::invalid);
}

TEST(RangeAnswer, that_is_short_is_a_failure) {
  const std::string begin = "HTTP/1.1 206 P\r\nContent-Range: bytes 4-7/9\r\n";
  for (const char* end : {"Content-Length: 4\r\n\r\nab", "Content-Length: 2\r\n\r\nab", "\r\nab",
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                          "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"}) {
    const Asked asked = ask_range(begin + end);
    EXPECT_EQ(asked.data, "ab") << end;
    EXPECT_EQ(asked.fault, Fault::unavailable) << end;
  }
  EXPECT_EQ(ask_range(begin + "Content-Length: 0\r\n\r\n").fault, Fault::unavailable);
}

TEST(RangeAnswer, of_another_range_is_not_delivered_at_all) {
  for (const char* range : {"Content-Range: bytes 0-3/9\r\n", "Content-Range: bytes 5-7/9\r\n",
                            "Content-Range: bytes 4-/9\r\n", "Content-Range: 4-7/9\r\n", ""}) {
    const Asked asked =
        ask_range(std::string("HTTP/1.1 206 P\r\n") + range + "Content-Length: 4\r\n\r\nabcd");
    EXPECT_EQ(asked.data, "") << range;
    EXPECT_EQ(asked.fault, Fault::unavailable) << range;
  }
}

TEST(EndlessAnswer, ends_in_its_header_and_in_a_body_that_is_collected) {
  for (const char* begin : {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n"}) {
    const RawServer server(begin, true);
    Client client;
    Request get;
    get.url = server.url();
    get.max_body = 1'000'000;
    EXPECT_FALSE(client.perform(get)) << begin;
  }
}

TEST(Range, is_read_in_the_one_form_that_is_used) {
  EXPECT_EQ(parse_range("bytes=0-0"), (util::ByteRange{0, 1}));
  EXPECT_EQ(parse_range("bytes=16384-32767"), (util::ByteRange{16384, 16384}));
  EXPECT_EQ(parse_range("bytes=0-18446744073709551614"), (util::ByteRange{0, UINT64_MAX}));
  for (const char* bad :
       {"", "bytes", "bytes=", "bytes=-", "bytes=1-", "bytes=-5", "bytes=5-4", "bytes=0-1,3-4",
        "bytes=0-1 ", " bytes=0-1", "items=0-1", "bytes=+0-1", "bytes=0x0-1", "bytes=0--1",
        "bytes=0-18446744073709551615", "bytes=0-18446744073709551616"})
    EXPECT_FALSE(parse_range(bad)) << bad;
}

TEST(ContentRange, is_read_with_and_without_a_total) {
  const auto known = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->range, (util::ByteRange{5, 5}));
  EXPECT_EQ(known->total, 10U);
  const auto unknown = parse_content_range("bytes 0-0/*");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->range, (util::ByteRange{0, 1}));
  EXPECT_FALSE(unknown->total);
  for (const char* bad : {"", "bytes", "bytes 5-9", "bytes 5-9/", "bytes 5-9/9", "bytes 9-5/10",
                          "bytes */10", "bytes 5-9/10 ", "bytes=5-9/10", "bytes 5-/10",
                          "bytes -9/10", "bytes 5-9/**", "bytes 0-18446744073709551615/*"})
    EXPECT_FALSE(parse_content_range(bad)) << bad;
}

TEST(HttpDate, is_read_in_its_one_form_whatever_the_year) {
  EXPECT_EQ(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784'111'777);
  EXPECT_EQ(parse_date("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  EXPECT_EQ(parse_date("Fri, 31 Dec 9999 23:59:59 GMT"), 253'402'300'799);
  for (const char* bad : {"", "7", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                          "Sun, 06 Nov 1994 08:49:37 GMT!", "Sun, 06 Nov 1994 08:49:37"})
    EXPECT_EQ(parse_date(bad), std::nullopt) << bad;
}

TEST(HeaderNames, are_found_whatever_their_case) {
  const Headers headers{{"Range", "a"}, {"range", "b"}, {"X", ""}};
  EXPECT_EQ(find_header(headers, "RANGE"), "a");
  EXPECT_EQ(find_header(headers, "x"), "");
  EXPECT_FALSE(find_header(headers, "Rang"));
}

}  // namespace
}  // namespace swarmfs::http
