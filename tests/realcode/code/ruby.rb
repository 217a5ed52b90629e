# frozen_string_literal: true
require "json"
require_relative "stock"
autoload :Late, "late"

LIMIT = 3

=begin
What one customer wants.
=end
module Shop
  class Order < Base
    include Comparable
    SIZE = 1
    attr_reader :items, :name

    def initialize(items, name: nil)
      @items = items
    end

    def self.load(path)
      return nil unless File.exist?(path) && path
      new(JSON.parse(File.read(path)))
    rescue IOError => e
      raise e
    end

    def total = items.sum

    def <=>(other)
      total <=> other.total
    end

    class << self
      def count; 0; end
    end

    alias_method :sum, :total
  end
end

def main(argv)
  argv.each do |one|
    case one
    when "a" then puts 1
    when "b" then puts 2
    end
  end
end
