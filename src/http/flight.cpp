// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "http/flight.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "http/common_name.h"
#include "http/range.h"
#include "http/traffic_mark.h"
#include "http/url.h"
#include "util/error.h"

namespace swarmfs::http {

using util::Failure;
using util::Fault;
using util::Outcome;

namespace {

constexpr int kBulkReceiveBuffer = 512 * 1024;
/// Of a few connections to each peer, which are near.
constexpr int kPeerReceiveBuffer = 256 * 1024;
constexpr size_t kMaxHeaders = 256 * 1024;

/// Not copied: the material outlives the handle, by the request that holds both.
void set_blob(CURL* easy, CURLoption option, const std::string& text) {
  curl_blob blob{const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
  curl_easy_setopt(easy, option, &blob);
}

}  // namespace

Flight::~Flight() {
  if (easy) curl_easy_cleanup(easy);
  curl_slist_free_all(header_list);
}

size_t Flight::on_header(char* data, size_t size, size_t count, void* context) {
  auto& flight = *static_cast<Flight*>(context);
  flight.last_byte = std::chrono::steady_clock::now();
  std::string_view line(data, size * count);
  flight.header_bytes += line.size();
  if (flight.header_bytes > kMaxHeaders) return 0;
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty() && flight.response.status >= 200) return flight.end_headers() ? size * count : 0;
  flight.take_header(line);
  return size * count;
}

void Flight::take_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    response.headers.clear();
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    response.headers.emplace_back(line.substr(0, colon), value);
  }
}

bool Flight::end_headers() {
  told_headers = true;
  note_connection();
  if (answers_range()) {
    const auto content = parse_content_range(response.header("Content-Range").value_or(""));
    other_range = !content || content->range.offset != request.range->offset;
    if (other_range) return false;
    announced = content->range.length;
  }
  // docker-registry answers 416 with the blob's length and a short body: do not wait for it.
  if (response.status == 416) refused = true;
  if (handlers.on_headers) gate.run([&] { refused |= !handlers.on_headers(response); });
  return !refused;
}

void Flight::note_connection() {
  const char* ip = nullptr;
  long port = 0;
  curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
  curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port);
  const std::string address = ip ? ip : "";
  if (!address.empty() && port > 0)
    response.remote_address =
        (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" +
        std::to_string(port);
  if (!request.tls.cluster) return;
  // Not CURLINFO_CERTINFO: a connection that is used again has none.
  curl_tlssessioninfo* session = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK || !session ||
      session->backend != CURLSSLBACKEND_OPENSSL || !session->internals)
    return;
  const X509* certificate = SSL_get0_peer_certificate(static_cast<const SSL*>(session->internals));
  if (certificate) response.peer = common_name(certificate);
}

size_t Flight::on_body(char* data, size_t size, size_t count, void* context) {
  auto& flight = *static_cast<Flight*>(context);
  if (flight.paused) {
    flight.is_paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  flight.last_byte = std::chrono::steady_clock::now();
  const uint64_t most = flight.answers_range() ? flight.request.range->length
                        : flight.streams()     ? UINT64_MAX
                                               : flight.request.max_body;
  const size_t length = std::min<uint64_t>(size * count, most - flight.received);
  flight.received += length;
  flight.too_large = length < size * count;
  if (flight.streams() && length > 0)
    flight.gate.run([&] { flight.handlers.on_data(util::as_bytes({data, length})); });
  else if (!flight.streams())
    flight.response.body.append(data, length);
  return length;
}

int Flight::on_socket(void* context, curl_socket_t socket, curlsocktype) {
  const auto& request = static_cast<Flight*>(context)->request;
  const bool peer = request.tls.cluster != nullptr;
  if (request.bulk)
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, peer ? &kPeerReceiveBuffer : &kBulkReceiveBuffer,
                 sizeof(int));
  if (peer) mark_traffic(socket, request.bulk);
  return CURL_SOCKOPT_OK;
}

void Flight::set_up() {
  easy = curl_easy_init();
  if (!easy) throw util::Error("curl gives no handle");
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error.data());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
  // Ranges of one layer share no stream: a paused h2 stream would hold up the others.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 128L * 1024);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, this);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
  if (!request.unix_socket.empty())
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  set_up_tls();
  set_up_body();
  set_up_headers();
}

void Flight::set_up_tls() {
  const Tls& tls = request.tls;
  if (!tls.cluster) {
    if (!tls.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, tls.ca_file.c_str());
    if (tls.cert_file.empty()) return;
    curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.cert_file.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.key_file.c_str());
    return;
  }
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
  set_blob(easy, CURLOPT_SSLCERT_BLOB, tls.cluster->certificate_pem);
  set_blob(easy, CURLOPT_SSLKEY_BLOB, tls.cluster->key_pem);
  set_blob(easy, CURLOPT_CAINFO_BLOB, tls.cluster->ca_pem);
  // Its default, the system's folder, would be trusted as well.
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
}

void Flight::set_up_body() {
  if (request.method == "HEAD") curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  if (request.method != "GET" && request.method != "HEAD")
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.body.empty() && request.method != "POST") return;
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
}

void Flight::set_up_headers() {
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "swarmfs/" SWARMFS_VERSION);
  Headers headers = request.headers;
  if (request.range)
    headers.emplace_back("Range", "bytes=" + std::to_string(request.range->offset) + "-" +
                                      std::to_string(request.range->end() - 1));
  for (const auto& [name, value] : headers)
    header_list = curl_slist_append(header_list, (name + ": " + value).c_str());
  header_list = curl_slist_append(header_list, "Expect:");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, header_list);
}

Outcome<Response> Flight::outcome(CURLcode code) {
  const bool cut_off = response.status == 416 && told_headers;
  if (code != CURLE_OK && !cut_off) return explain(code);
  if (answers_range() && request.method != "HEAD" &&
      received < std::min(announced, request.range->length))
    return explain(CURLE_PARTIAL_FILE);
  return std::move(response);
}

/// A member that has seen our certificate and wants none of it says so in an alert, after the
/// handshake is over for us.
bool Flight::is_rejected() const {
  return request.tls.cluster && std::string_view(error.data()).find(" alert ") != std::string::npos;
}

Failure Flight::explain(CURLcode code) const {
  const auto url = Url::parse(request.url);
  const std::string where = !request.unix_socket.empty() ? request.unix_socket
                            : url                        ? url->origin()
                                                         : request.url;
  const std::string why = error[0] ? error.data() : curl_easy_strerror(code);
  if (too_large) return {Fault::invalid, where + " answers with more than it may"};
  if (other_range)
    return {Fault::unavailable, where + " answers another range than the one asked for"};
  if (refused) return {Fault::cancelled, where + ": answer refused"};
  if (code == CURLE_OPERATION_TIMEDOUT) return {Fault::timed_out, where + ": " + why};
  if (is_rejected())
    return {Fault::denied, where + " rejects our certificate: " + why +
                               " (are the clocks of both nodes right, is our token or CA that of "
                               "the cluster?)"};
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
      code == CURLE_SSL_CERTPROBLEM)
    return {Fault::denied, where + ": " + why +
                               (request.tls.cluster ? " (are the clocks of both nodes right, is "
                                                      "its token or CA that of the cluster?)"
                                                    : " (see ca_file, cert_file and key_file)")};
  if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT)
    return {Fault::invalid, request.url + " is no URL that can be asked"};
  return {Fault::unavailable, where + ": " + why};
}

}  // namespace swarmfs::http
