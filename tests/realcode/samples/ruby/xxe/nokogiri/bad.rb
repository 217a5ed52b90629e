require 'nokogiri'

def titles(xml)
  document = Nokogiri::XML(xml) { |config| config.noent.dtdload }
  document.css('title').map(&:text)
end
