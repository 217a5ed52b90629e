module Media
  def self.duration(path)
    `ffprobe -show_entries format=duration #{path}`.to_f
  end
end
