require 'nokogiri'

def titles(xml)
  document = Nokogiri::XML(xml) { |config| config.strict.nonet }
  document.css('title').map(&:text)
end
