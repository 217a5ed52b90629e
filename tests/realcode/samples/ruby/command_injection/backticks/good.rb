require 'open3'

module Media
  def self.duration(path)
    output, _status = Open3.capture2('ffprobe', '-show_entries', 'format=duration', path)
    output.to_f
  end
end
