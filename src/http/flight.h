// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#pragma once

#include <curl/curl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <optional>

#include "http/client.h"
#include "util/operation.h"

namespace swarmfs::http {

/// One request of a Client from the order to the answer: curl's easy handle and what its callbacks
/// gather. On the loop thread, but for `paused`, `paused_at`, `last_byte`, `gate` and the wish to
/// end.
struct Flight {
  using Time = std::chrono::steady_clock::time_point;

  Request request;
  Handlers handlers;
  util::CallbackGate gate;
  CURL* easy = nullptr;
  curl_slist* header_list = nullptr;
  std::array<char, CURL_ERROR_SIZE> error{};
  Response response;
  size_t header_bytes = 0;
  bool told_headers = false;
  bool refused = false;
  bool too_large = false;
  bool other_range = false;
  uint64_t announced = 0;  ///< by the Content-Range of a 206
  uint64_t received = 0;   ///< of the body
  std::atomic<bool> paused{false};
  bool is_paused = false;  ///< what curl was told
  /// Later by as long as it was paused since.
  std::atomic<Time> last_byte = std::chrono::steady_clock::now();
  std::atomic<Time> paused_at{};

  Flight() = default;
  ~Flight();
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  /// Makes the easy handle. Throws util::Error where curl gives none.
  void set_up();
  [[nodiscard]] bool answers_range() const { return request.range && response.status == 206; }
  /// What curl's verdict comes to.
  [[nodiscard]] util::Outcome<Response> outcome(CURLcode code);
  [[nodiscard]] util::Failure explain(CURLcode code) const;

 private:
  static size_t on_header(char* data, size_t size, size_t count, void* context);
  static size_t on_body(char* data, size_t size, size_t count, void* context);
  static int on_socket(void* context, curl_socket_t socket, curlsocktype purpose);
  void set_up_tls();
  void set_up_body();
  void set_up_headers();
  void take_header(std::string_view line);
  bool end_headers();
  void note_connection();
  [[nodiscard]] bool is_rejected() const;
  [[nodiscard]] bool streams() const { return handlers.on_data && response.status / 100 == 2; }
};

}  // namespace swarmfs::http
