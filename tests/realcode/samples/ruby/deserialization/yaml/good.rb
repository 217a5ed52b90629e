require 'yaml'

module Import
  def self.read(upload)
    YAML.safe_load(upload, permitted_classes: [Date])
  end
end
