// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

// What clients of the mirror and registries say in headers, request lines and documents.

#include "fuzz/wire_targets.h"
#include "http/url.h"
#include "mirror/document.h"
#include "mirror/route.h"
#include "mirror/wanted_range.h"
#include "registry/challenge.h"
#include "registry/policy.h"
#include "util/error.h"

namespace swarmfs::fuzz {

namespace {

constexpr uint64_t kBlobSize = 100'000;
const std::string kDigest = "sha256:" + std::string(64, 'a');
const std::string kEtag = '"' + kDigest + '"';

void demand(bool is_so, const char* what) {
  if (!is_so) throw util::Error(what);
}

/// One header a line, "Name: value", as they come.
http::Headers headers_of(std::string_view text) {
  http::Headers made;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    const size_t colon = std::min(line.find(": "), line.size());
    made.emplace_back(line.substr(0, colon), line.substr(std::min(colon + 2, line.size())));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return made;
}

bool is_one_component(std::string_view text) {
  return text.find_first_of("/?#% \r\n") == text.npos && text.find('\0') == text.npos;
}

Target route() {
  return {
      "mirror route",
      {"/v2/library/nginx/manifests/latest?ns=docker.io", "/v2/127.0.0.1:5000/a/b/blobs/" + kDigest,
       "/v2/", "/v2/ghcr.io/a/tags/list?n=5&last=v1.0&ns=registry-1.docker.io",
       "/v2/a/referrers/" + kDigest + "?artifactType=a%2Fb&ns=localhost"},
      [](const std::string& text) {
        const auto target = http::Target::parse(text);
        if (!target) return false;
        const auto read = mirror::parse_route(target->path, target->query);
        if (!read || read->kind == mirror::Route::Kind::version) return bool(read);
        const auto& reference = read->reference;
        demand(is_one_component(reference.registry) && is_one_component(reference.target()),
               "a registry or a target that ends early");
        for (const char* bad : {"..", "//", "%", "?", "#", "@", ":"})
          demand(reference.repository.find(bad) == std::string::npos,
                 "a repository that leads elsewhere");
        const auto again = mirror::parse_route("/v2/" + reference.repository + "/" + read->path(),
                                               {{"ns", reference.registry}});
        demand(again && again->kind == read->kind &&
                   again->reference.to_string() == reference.to_string(),
               "a route that does not survive");
        return true;
      }};
}

Target ranges() {
  return {"wanted range",
          {"Range: bytes=5-9", "Range: bytes=5-\nIf-Range: " + kEtag, "Range: bytes=-7",
           "Range: bytes=100000-"},
          [](const std::string& text) {
            using Kind = mirror::WantedRange::Kind;
            const auto read = mirror::wanted_range(headers_of(text), kBlobSize, kEtag);
            const auto& range = read.range;
            demand(range.offset <= kBlobSize && range.length <= kBlobSize - range.offset,
                   "bytes that are not there");
            demand(range.empty() == (read.kind == Kind::unsatisfiable), "an empty range");
            demand(read.kind != Kind::whole || range.length == kBlobSize, "a whole with holes");
            return read.kind != Kind::whole;
          }};
}

Target lists() {
  return {"lists of headers",
          {"Accept: application/json;q=0.5, application/vnd.oci.image.manifest.v1+json",
           "Accept: text/*\nAccept: application/*", "If-None-Match: W/" + kEtag + ", \"x\"",
           "If-None-Match: *"},
          [](const std::string& text) {
            auto headers = headers_of(text);
            const bool asks = http::find_header(headers, "Accept").has_value();
            const bool known = mirror::is_known_already(headers, kEtag);
            const bool taken =
                mirror::accepts(headers, "application/vnd.oci.image.manifest.v1+json");
            headers.emplace_back("Accept", "*/*");
            headers.emplace_back("If-None-Match", kEtag);
            demand(mirror::accepts(headers, "a/b"), "*/* is not anything");
            demand(mirror::is_known_already(headers, kEtag), "an etag is lost behind others");
            return known || (asks && taken);
          }};
}

Target documents() {
  const std::string blob = R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7,)"
                           R"("digest":")" +
                           kDigest + R"("})";
  return {
      "mirrored document",
      {R"({"config":)" + blob + R"(,"layers":[)" + blob + "," + blob + "]}",
       R"({"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[)" + blob + "]}"},
      [](const std::string& text) {
        const auto type = mirror::media_type_of(util::as_bytes(text));
        demand(!type.empty() && type.find_first_of("\r\n") == type.npos, "a type of two lines");
        const auto blobs = mirror::blobs_of(util::as_bytes(text));
        for (const auto& one : blobs)
          demand(one.size <= mirror::kLargestBlob &&
                     one.media_type.find_first_of("\r\n") == std::string::npos,
                 "a blob that nobody could have");
        return !blobs.empty();
      }};
}

Target challenges() {
  return {"challenge",
          {R"(Bearer realm="https://auth.docker.io/token",service="r",scope="repository:a:pull")",
           R"(Basic realm="a \" b")"},
          [](const std::string& text) {
            const auto read = registry::parse_challenge(text);
            if (!read) return false;
            demand(!read->bearer || !read->realm.empty(), "a token from nowhere");
            return true;
          }};
}

Target retry_after() {
  return {"retry after", {"120", "Sun, 06 Nov 2044 08:49:37 GMT"}, [](const std::string& text) {
            const auto read = registry::parse_retry_after(text, std::chrono::system_clock::now());
            if (!read) return false;
            demand(read->count() >= 0 && *read <= std::chrono::minutes(5), "a pause without end");
            return true;
          }};
}

Target location() {
  const auto base = *http::Url::parse("https://r.example.com:443/v2/a/blobs/b?c=d");
  return {"location",
          {"https://cdn.example.com:8443/x?sig=%2F", "/v2/a", "//[::1]:80/b", "c?d=e#f"},
          [base](const std::string& text) {
            const auto read = http::resolve(base, text);
            if (!read) return false;
            demand(read->scheme == "http" || read->scheme == "https", "a scheme of its own");
            demand(!read->host.empty() && read->target.starts_with('/'), "a place that is none");
            const auto again = http::Url::parse(read->to_string());
            demand(again && again->to_string() == read->to_string(), "a URL that does not survive");
            return true;
          }};
}

}  // namespace

std::vector<Target> mirror_targets() {
  return {route(), ranges(), lists(), documents(), challenges(), retry_after(), location()};
}

}  // namespace swarmfs::fuzz
