// SPDX-License-Identifier: Apache-2.0
// Copyright the swarmfs authors

#include "daemon/daemon.h"

#include <malloc.h>

#include <algorithm>
#include <random>

#include "daemon/preheat_report.h"
#include "util/file.h"
#include "util/log.h"
#include "util/mounts.h"

namespace swarmfs::daemon {

namespace {

registry::RegistryOptions registry_options(const Config& config) {
  registry::RegistryOptions options;
  for (const auto& section : config.registries) {
    auto& host = options.hosts[section.host];
    host.mirrors = section.mirrors;
    host.plain_http = section.plain_http;
    host.tls = {
        section.ca_file.string(), section.cert_file.string(), section.key_file.string(), {}};
    host.username = section.username;
    host.node = section.node;
    host.cluster = section.cluster;
    if (section.password_file.empty()) continue;
    const auto password = util::read_text(section.password_file);
    if (!password)
      throw util::Error("password_file " + section.password_file.string() + " does not exist");
    host.password = password->substr(0, password->find_first_of("\r\n"));
  }
  options.credential_files = config.credential_files.empty() ? registry::usual_credential_files()
                                                             : config.credential_files;
  return options;
}

fetch::FetchOptions fetch_options(const Config& config, std::shared_ptr<util::LinkGauge> link) {
  fetch::FetchOptions options;
  options.fault_timeout = config.fault_timeout;
  options.backfill_rate = config.backfill_rate;
  options.link = std::move(link);
  std::random_device device;
  if (!config.cluster.listen.empty())
    options.turn = std::uniform_real_distribution(0.0, 1.0)(device);
  return options;
}

std::unique_ptr<ClusterNode> cluster_node(const Config& config,
                                          std::shared_ptr<const util::LinkGauge> link,
                                          util::Workers& workers, util::Timers& timers,
                                          util::Metrics& metrics) {
  if (config.cluster.listen.empty()) return nullptr;
  return std::make_unique<ClusterNode>(config, std::move(link), workers, timers, metrics);
}

/// Where others share the work the registry is asked for our share of it.
registry::RegistrySource::Share share_of(ClusterNode* node) {
  if (!node) return {};
  return [node](const chunk::LayerRef& layer, util::ByteRange range) {
    return node->swarm().share_length(layer, range);
  };
}

std::unique_ptr<Neighbours> neighbours(const ClusterNode* node, const Config& config) {
  if (!node) return std::make_unique<NoNeighbours>();
  return std::make_unique<ClusterNeighbours>(*node, config.cluster);
}

std::vector<chunk::Source*> sources(ClusterNode* node, chunk::Source& registry) {
  if (!node) return {&registry};
  std::vector<chunk::Source*> made{&node->swarm().source(), &registry};
  if (auto* bulk = node->swarm().bulk_source()) made.insert(made.begin(), bulk);
  return made;
}

/// A thread each, with a small window of the budget that all share.
constexpr unsigned kMirrorConnections = 768;
constexpr std::chrono::seconds kMirrorTended{2};

/// What a pull or an indexing pass leaves in malloc's arenas would stay ours for good.
constexpr std::chrono::seconds kTrimPeriod{20};

http::Server::Handler handler_of(control::Api& api, bool only_metrics) {
  return [&api, only_metrics](const http::ServerRequest& request) -> http::ServerResponse {
    if (only_metrics && request.path != "/metrics")
      return {404, "text/plain", "only /metrics is here\n"};
    auto answer = api.answer({request.method, request.path, request.query, request.body});
    return {answer.status, std::move(answer.content_type), std::move(answer.body)};
  };
}

PreheatLedger::Pull preheat_of(std::shared_ptr<image::Job> job) {
  return {[job] { return preheat_state(job->wait({})); }, [job] { job->cancel(); }};
}

/// Whether it is there now.
bool show(const std::filesystem::path& image, const image::Mount& mount) {
  const std::string& directory = mount.directory;
  try {
    fuse::detach_if_dead(directory);
    if (util::is_mount_point(directory)) return true;
    std::filesystem::create_directories(directory);
    util::bind_read_only(image, directory, util::mount_flags(mount.options).value_or(0));
    util::log::info("{} is mounted again", directory);
    return true;
  } catch (const std::exception& error) {
    util::log::error("{} cannot be mounted again: {}", directory, error.what());
    return false;
  }
}

}  // namespace

Daemon::Daemon(const Config& config, HandedSockets sockets)
    : workers_(std::max(2u, std::thread::hardware_concurrency())),
      cache_({config.cache_directory, config.cache_quota, config.cache_high_watermark,
              config.cache_low_watermark},
             timers_, workers_, metrics_),
      http_(32),
      registry_(http_, registry_options(config), timers_, metrics_),
      inquirer_(registry_),
      catalog_(cache_, inquirer_, clock_, !config.cluster.listen.empty()),
      node_(cluster_node(config, link_, workers_, timers_, metrics_)),
      source_(registry_, timers_, share_of(node_.get())),
      fetcher_(cache_, sources(node_.get(), source_), fetch_options(config, link_), timers_,
               metrics_),
      library_(fetcher_, cache_, metrics_, node_.get()),
      asker_(
          node_ ? std::make_unique<HolderInquiries>(catalog_, cache_, library_, fetcher_, registry_)
                : nullptr),
      reader_(fetcher_, library_, workers_, timers_, config.span_cache),
      registry_manifests_(registry_),
      manifests_(registry_manifests_, catalog_, cache_, node_.get()),
      images_(library_, fetcher_, cache_, manifests_, timers_, {config.backfill}),
      hand_over_(config.containerd.address.empty()
                     ? nullptr
                     : std::make_unique<HandOver>(
                           config.containerd,
                           HandOver::Parts{cache_, catalog_, library_, fetcher_, node_.get()},
                           metrics_)),
      neighbours_(neighbours(node_.get(), config)),
      preheater_(node_.get(), config.cluster),
      mediator_(images_, cache_, fetcher_, *neighbours_, preheater_, hand_over_.get(), metrics_,
                config.mount_point),
      api_(mediator_) {
  front_ =
      std::make_unique<fuse::Front>(fuse::FrontOptions{config.mount_point, 2, config.fault_timeout},
                                    images_, reader_, fetcher_, cache_, timers_, metrics_);
  connect_peers();
  bring_back_mounts();  // whom the socket or READY tells that we are here finds them
  if (hand_over_) hand_over_->start();
  start_servers(config, sockets);
  trimming_ = timers_.every(kTrimPeriod, [this] {
    workers_.post(util::Workers::Urgency::normal, [] { ::malloc_trim(0); });
  });
  if (mirror_upstream_) mirror_upstream_->resume();
}

Daemon::~Daemon() {
  for (const auto* server : {&mirror_server_, &metrics_server_, &control_server_})
    if (*server) (*server)->hand_on();
  preheater_.stop();
  if (node_) node_->preheats().disconnect();
  if (node_) node_->holdings().disconnect();
  static_cast<void>(mediator_.mounts());  // what is off now is not to come back
  if (node_) node_->swarm().stop_waiting();
  images_.stop();
  if (mirror_upstream_) mirror_upstream_->stop();
  if (hand_over_) hand_over_->stop();
  fetcher_.stop();
  mirror_server_.reset();
  metrics_server_.reset();
  control_server_.reset();
  front_.reset();
}

void Daemon::start_servers(const Config& config, HandedSockets& sockets) try {
  std::filesystem::create_directories(config.control_socket.parent_path());
  http::ServerOptions control;
  control.unix_socket = config.control_socket.string();
  control.idle_timeout = std::chrono::seconds(120);
  control_server_ = std::make_unique<http::Server>(control, handler_of(api_, false),
                                                   sockets.take(control.unix_socket));
  if (!config.metrics_address.empty()) {
    http::ServerOptions metrics;
    metrics.tcp_address = config.metrics_address;
    metrics_server_ = std::make_unique<http::Server>(metrics, handler_of(api_, true),
                                                     sockets.take(config.metrics_address));
  }
  if (!config.mirror_listen.empty()) start_mirror(config, sockets.take(config.mirror_listen));
  sockets.refuse_rest();
} catch (...) {
  if (const auto rest = sockets.rest(); !rest.empty())
    util::log::error("of the service manager's sockets nobody has taken {}", rest);
  throw;
}

void Daemon::start_mirror(const Config& config, util::UniqueFd listener) {
  mirror_upstream_ = std::make_unique<MirrorUpstream>(MirrorUpstream::Parts{
      registry_, cache_, catalog_, manifests_, library_, fetcher_, node_.get()});
  mirror::MirrorOptions options;
  options.address = config.mirror_listen;
  options.stale_tags = config.mirror_stale_tags;
  options.borrow_credentials = config.mirror_borrow_credentials;
  mirror_ = std::make_unique<mirror::Mirror>(options, *mirror_upstream_, fetcher_, cache_, clock_,
                                             metrics_);
  http::ServerOptions server;
  server.tcp_address = config.mirror_listen;
  server.max_connections = kMirrorConnections;
  server.max_body = 0;
  mirror_server_ = std::make_unique<http::Server>(
      server, [this](const http::ServerRequest& request) { return mirror_->answer(request); },
      std::move(listener));
  mirror_tending_ = timers_.every(kMirrorTended, [this] { mirror_->tend(); });
}

void Daemon::connect_peers() {
  if (!node_) return;
  node_->holdings().connect({&cache_, &fetcher_, &library_, &catalog_, asker_.get(), &registry_});
  registry_.set_fellows(node_->fellows());
  node_->preheats().connect([this](const auto& reference, const auto& platform) {
    return preheat_of(images_.pull(reference, platform));
  });
  for (const auto& layer : cache_.layers()) node_->swarm().announce(layer);
}

void Daemon::bring_back_mounts() {
  images_.restore(
      {[this](const oci::Reference& reference, const std::vector<oci::Descriptor>& layers) {
         manifests_.announce(reference, layers);
       },
       [this](const image::Mount& mount, const std::string& name) {
         return show(mediator_.image_path(name), mount);
       }});
}

void Daemon::reload(const Config& config) {
  // What may throw comes first.
  auto registries = registry_options(config);
  if (node_) node_->reload(config.cluster);
  registry_.reload(std::move(registries));
  util::log::set_level(config.log_level);
  cache_.set_limits(config.cache_quota, config.cache_high_watermark, config.cache_low_watermark);
  fetcher_.set_fault_timeout(config.fault_timeout);
  front_->set_fault_timeout(config.fault_timeout);
  fetcher_.set_backfill_rate(config.backfill_rate);
  util::log::info(
      "reloaded: log level, credentials, registries, the cluster's identity, cross_zone_rate, "
      "max_peer_requests, [bulk], backfill_rate, cache limits and fault_timeout; other settings "
      "need a restart");
}

}  // namespace swarmfs::daemon
