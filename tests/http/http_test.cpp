// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <utility>

#include "http/client.h"
#include "http/server.h"
#include "http/url.h"
#include "support/temporary_directory.h"

namespace swarmfs::http {
namespace {

class HttpTest : public testing::Test {
 protected:
  void serve(Server::Handler handler) {
    ServerOptions options;
    options.unix_socket = (directory_.path() / "socket").string();
    server_ = std::make_unique<Server>(options, std::move(handler));
  }
  Request request(const std::string& path) const {
    Request made;
    made.url = "http://host" + path;
    made.unix_socket = (directory_.path() / "socket").string();
    return made;
  }
  support::TemporaryDirectory directory_;
  std::unique_ptr<Server> server_;
  Client client_;
};

TEST_F(HttpTest, carries_path_query_and_body_both_ways) {
  serve([](const ServerRequest& asked) -> ServerResponse {
    const auto a = asked.query.find("a b");
    return {201, "text/x",
            asked.method + " " + asked.path + " " + (a == asked.query.end() ? "-" : a->second) +
                " " + asked.body};
  });
  Request post = request("/p%20q?a%20b=c%26d");
  post.method = "POST";
  post.body = std::string(200'000, 'x');
  const auto answer = client_.perform(post);
  ASSERT_TRUE(answer) << answer.failure().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "POST /p q c&d " + post.body);
  EXPECT_EQ(answer->header("content-TYPE"), "text/x");
}

TEST_F(HttpTest, is_a_failure_where_nobody_listens) {
  const auto answer = client_.perform(request("/"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.failure().fault, util::Fault::unavailable);
}

TEST_F(HttpTest, refuses_a_body_that_is_too_large) {
  serve([](const ServerRequest&) -> ServerResponse {
    return {200, "t", std::string(10'000, 'x')};
  });
  Request get = request("/");
  get.max_body = 9'999;
  EXPECT_FALSE(client_.perform(get));
}

TEST_F(HttpTest, who_is_paused_is_not_stalled_however_long_nothing_comes) {
  std::promise<void> resumed;
  serve([&](const ServerRequest&) {
    ServerResponse made{200, "t"};
    made.length = 10;
    made.stream = [&](BodyWriter& client) {
      if (!client.write(util::as_bytes("01234"))) return false;
      resumed.get_future().wait();
      return client.write(util::as_bytes("56789"));
    };
    return made;
  });
  auto get = request("/slow");
  get.stall_timeout = std::chrono::milliseconds(300);
  std::promise<void> began;
  std::promise<util::Outcome<Response>> done;
  std::string body;
  Handlers handlers;
  handlers.on_data = [&](util::ByteView bytes) {
    if (std::exchange(body, body + std::string(util::as_text(bytes))).empty()) began.set_value();
  };
  handlers.on_done = [&](util::Outcome<Response> outcome) { done.set_value(std::move(outcome)); };
  const auto exchange = client_.start(get, handlers);
  began.get_future().wait();
  exchange->pause();
  std::this_thread::sleep_for(std::chrono::milliseconds(1'200));  // it looks every 500 ms
  exchange->resume();
  resumed.set_value();
  const auto outcome = done.get_future().get();
  ASSERT_TRUE(outcome) << outcome.failure().message;
  EXPECT_EQ(body, "0123456789");
}

TEST_F(HttpTest, serves_many_at_once) {
  serve([](const ServerRequest& asked) -> ServerResponse { return {200, "t", asked.path}; });
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j) {
        const std::string path = "/" + std::to_string(i) + "/" + std::to_string(j);
        const auto answer = client_.perform(request(path));
        if (answer && answer->body == path) ++right;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
}

TEST(Url, resolves_redirects) {
  const auto base = Url::parse("https://a.example.com:8443/v2/x?y");
  ASSERT_TRUE(base);
  EXPECT_EQ(resolve(*base, "/z")->to_string(), "https://a.example.com:8443/z");
  EXPECT_EQ(resolve(*base, "http://cdn/b?c=d")->to_string(), "http://cdn/b?c=d");
  for (const char* bad : {"", "ftp://a/b", "http://", "no url"})
    EXPECT_FALSE(Url::parse(bad)) << bad;
}

TEST(Url, knows_loopback) {
  for (const char* yes : {"127.0.0.1:5000", "localhost", "[::1]:80", "127.8.9.1"})
    EXPECT_TRUE(is_loopback(yes)) << yes;
  for (const char* no :
       {"10.0.0.1", "localhost.example.com", "128.0.0.1:5000", "127.0.0.1.evil.com"})
    EXPECT_FALSE(is_loopback(no)) << no;
}

}  // namespace
}  // namespace swarmfs::http
