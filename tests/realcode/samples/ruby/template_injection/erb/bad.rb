require 'erb'
require 'sinatra'

post '/preview' do
  template = "<h1>#{params['title']}</h1><%= footer %>"
  ERB.new(template).result(binding)
end
