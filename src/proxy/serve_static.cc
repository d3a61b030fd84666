// Static files: the path below the route's folder, validators, conditions, one range; small files from memory, others in pieces.
// Spec: RFC 9110 sections 13 and 14. A path that names a folder is answered 301 to the same path with '/', as nginx does.
#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <utility>

#include "exchange.h"
#include "sluice/http/conditional.h"
#include "sluice/http/media_type.h"
#include "sluice/http/serialize.h"
#include "sluice/http/uri.h"

namespace sluice::proxy {

namespace {

using http::HeaderId;
using http::Method;

constexpr std::size_t kPiece = 256 << 10;  // of a large file, read and sent at a time

// An answer on its way from a helper thread; the exchange may be gone when it comes.
struct Pending {
  explicit Pending(telemetry::ProxyCounters& proxy_counters) : counters(proxy_counters) {}
  telemetry::ProxyCounters& counters;
  EventPort* port = nullptr;
  bool done = false;
  FileAnswer answer;
};

class FileRequest {  // part of the frame of the coroutine that waits
 public:
  explicit FileRequest(Exchange& x) : pending_(std::make_shared<Pending>(x.core().counters)) {
    pending_->port = &x.port();
  }
  ~FileRequest() { pending_->port = nullptr; }
  FileRequest(const FileRequest&) = delete;
  FileRequest& operator=(const FileRequest&) = delete;

  [[nodiscard]] FileService::Done on_done() {
    pending_->counters.static_reads.add();
    pending_->counters.static_pending.add(1);
    return [pending = pending_](FileAnswer answer) {
      pending->counters.static_pending.add(-1);
      pending->answer = std::move(answer);
      pending->done = true;
      if (pending->port != nullptr) pending->port->post(events::kFile);
    };
  }
  void rejected() noexcept {
    pending_->counters.static_rejected.add();
    pending_->counters.static_pending.add(-1);
  }
  [[nodiscard]] bool done() const noexcept { return pending_->done; }
  [[nodiscard]] FileAnswer& answer() noexcept { return pending_->answer; }

 private:
  std::shared_ptr<Pending> pending_;
};

void append_hex(std::string& out, std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
  out.append(digits.data(), end.ptr);
}

// nginx's form: modification time and size in hexadecimal.
std::string etag_of(const OpenFile& file) {
  std::string out = "\"";
  append_hex(out, static_cast<std::uint64_t>(file.modified));
  out.append("-");
  append_hex(out, file.size);
  return out.append("\"");
}

std::shared_ptr<CachedFile> make_entry(FileAnswer answer, Instant now) {
  auto entry = std::make_shared<CachedFile>();
  entry->in_memory = answer.file->fd < 0;
  entry->file = std::move(answer.file);
  entry->bytes = std::move(answer.bytes);
  entry->etag = etag_of(*entry->file);
  const http::DateText date = http::format_date(entry->file->modified);
  entry->last_modified = http::view(date);
  entry->checked = now;
  return entry;
}

Task<FileAnswer> open_file(Exchange& x, std::string root, std::string path) {
  FileRequest request(x);
  if (!x.core().files.open(std::move(root), std::move(path), FileCache::kInlineBytes, x.core().inbox,
                           request.on_done())) {
    request.rejected();
    FileAnswer refused;
    refused.error = FileError::kFailed;
    co_return refused;
  }
  while (!request.done() && !x.broken()) {
    const EventPort::Bits bits = co_await x.port().next_event();
    x.note(bits);
  }
  FileAnswer answer = std::move(request.answer());
  co_return answer;
}

std::uint16_t status_of(FileError error) noexcept {
  switch (error) {
    case FileError::kNotFound:
      return 404;
    case FileError::kForbidden:
    case FileError::kIsDirectory:  // only an index that is a folder comes here
      return 403;
    default:
      return 503;
  }
}

void redirect_to_folder(Exchange& x) {
  std::string line = "Location: ";
  http::append_percent_encoded(line, x.head().path);
  line.append("/");
  if (x.head().has_query) line.append("?").append(x.head().query);
  line.append("\r\n");
  x.respond_error(301, line);
}

// Fields that 200, 206 and 304 share.
void add_file_fields(Exchange& x, const config::StaticFiles& files, const CachedFile& file) {
  x.add(HeaderId::kServer, "sluice");
  x.add(HeaderId::kLastModified, file.last_modified);
  x.add(HeaderId::kEtag, file.etag);
  std::string cache_control;
  if (files.expires) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*files.expires).count();
    const http::DateText date = http::format_date(x.core().wall + seconds);
    x.add(HeaderId::kExpires, http::view(date));
    cache_control = "max-age=";
    http::append_decimal(cache_control, static_cast<std::uint64_t>(seconds));
  }
  const RequestContext context = x.context();
  std::string value;
  for (const config::Header& header : files.headers) {
    value.clear();
    append_rendered(value, header.value, context);
    if (http::header_id(header.name) != HeaderId::kCacheControl) {
      x.add(header.name, value);
    } else if (!value.empty()) {
      cache_control.append(cache_control.empty() ? "" : ", ").append(value);
    }
  }
  if (!cache_control.empty()) x.add(HeaderId::kCacheControl, cache_control);
}

Task<> send_pieces(Exchange& x, std::shared_ptr<const OpenFile> file, http::ByteRange range) {
  std::uint64_t at = range.first;
  while (at <= range.last && !x.broken()) {
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, range.last - at + 1));
    FileRequest request(x);
    if (!x.core().files.read(file, at, length, x.core().inbox, request.on_done())) {
      request.rejected();
      x.break_off();
      co_return;
    }
    x.wait_for(ClientWait::kNothing, true);
    while (!request.done() && !x.broken()) {
      const EventPort::Bits bits = co_await x.port().next_event();
      x.note(bits);
    }
    if (x.broken()) co_return;
    if (request.answer().error != FileError::kNone) {
      x.break_off();
      co_return;
    }
    std::span<const std::uint8_t> piece = request.answer().bytes;
    at += piece.size();
    while (!piece.empty()) {
      const std::size_t room = x.out().flush() ? x.out().room() : 0;
      if (room == 0) {
        Task<> flushed = flush(x);
        co_await flushed;
        if (x.broken()) co_return;
        continue;
      }
      const std::size_t now = std::min(room, piece.size());
      x.write_body(piece.first(now));
      piece = piece.subspan(now);
    }
  }
}

}  // namespace

Task<> send_file(Exchange& x, const config::StaticFiles& files, std::shared_ptr<CachedFile> file) {
  const OpenFile& open = *file->file;
  const http::Validators validators{.etag = file->etag, .last_modified = open.modified};
  const http::RequestHead& head = x.head();
  switch (http::check_preconditions(head.method, head.headers, validators)) {
    case http::Precondition::kNotModified:
      x.begin_head(304);
      add_file_fields(x, files, *file);
      x.end_head(Framing::kNone);
      x.out().uncork();
      co_return;
    case http::Precondition::kFailed:
      x.respond_error(412);
      co_return;
    case http::Precondition::kNone:
      break;
  }
  const http::RangeResult range = http::select_range(head.method, head.headers, open.size, validators);
  std::string content_range;
  if (range.outcome != http::RangeOutcome::kWhole) http::append_content_range(content_range, range, open.size);
  if (range.outcome == http::RangeOutcome::kUnsatisfiable) {
    x.respond_error(416, content_range);
    co_return;
  }
  const bool partial = range.outcome == http::RangeOutcome::kPartial;
  const http::ByteRange bytes = partial ? range.range : http::ByteRange{0, open.size - 1};
  const std::uint64_t length = partial ? bytes.length() : open.size;
  x.begin_head(partial ? 206 : 200);
  x.add(HeaderId::kContentType, http::media_type(file->name));
  add_file_fields(x, files, *file);
  x.add(HeaderId::kAcceptRanges, "bytes");
  x.add_line(content_range);
  x.end_head(Framing::kSized, length);
  if (x.head_only() || length == 0) {
    x.out().uncork();
    co_return;
  }
  if (!file->in_memory) {
    x.out().uncork();
    Task<> sent = send_pieces(x, file->file, bytes);
    co_await sent;
    co_return;
  }
  std::span<const std::uint8_t> body = std::span(file->bytes).subspan(bytes.first, length);
  const std::size_t joined = std::min(x.out().room(), body.size());
  x.write_body(body.first(joined));
  x.out().uncork();
  body = body.subspan(joined);
  while (!body.empty()) {
    const std::size_t room = x.out().flush() ? x.out().room() : 0;
    if (room == 0) {
      Task<> flushed = flush(x);
      co_await flushed;
      if (x.broken()) co_return;
      continue;
    }
    const std::size_t now = std::min(room, body.size());
    x.write_body(body.first(now));
    body = body.subspan(now);
  }
}

Task<> serve_static(Exchange& x, const config::StaticFiles& files) {
  const http::RequestHead& head = x.head();
  if (head.method != Method::kGet && head.method != Method::kHead) {
    x.respond_error(405, "Allow: GET, HEAD\r\n");
    co_return;
  }
  std::string path(head.path.substr(x.route().path.size()));  // the route's path is a prefix of it
  if (path.starts_with('/')) path.erase(0, 1);
  const bool folder = head.path.ends_with('/');
  if (folder) path.append(files.index);

  Core& core = x.core();
  const std::string key = files.alias + '\0' + path;
  std::shared_ptr<CachedFile> file = core.file_cache.find(key);
  const bool fresh = file && (file->being_checked || core.now - file->checked < FileCache::kTrust);
  if (!fresh) {
    if (file) file->being_checked = true;
    Task<FileAnswer> opened = open_file(x, files.alias, path);
    FileAnswer answer = co_await opened;
    if (file) file->being_checked = false;
    if (x.broken()) co_return;
    if (answer.error == FileError::kIsDirectory && !folder) {
      core.file_cache.erase(key);
      redirect_to_folder(x);
      co_return;
    }
    if (answer.error != FileError::kNone) {
      core.file_cache.erase(key);
      x.respond_error(status_of(answer.error));
      co_return;
    }
    file = make_entry(std::move(answer), core.now);
    file->name = path;
    if (file->in_memory) core.file_cache.insert(key, file);
  }
  Task<> sent = send_file(x, files, std::move(file));
  co_await sent;
}

}  // namespace sluice::proxy
