require 'yaml'

module Import
  def self.read(upload)
    YAML.unsafe_load(upload)
  end
end
